"""The steward says nothing under the key that it made before another silo was handed it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from privacy.errors import Unreachable
from privacy.secagg.hybrid import HybridKey
from privacy.wire.keys import KeyRequest
from privacy.wire.requests import Board, Phase
from silo_node.operations.status import AWAITED
from tests.aggregator.members import Members
from tests.silo_node.direct import Line, World, with_rounds
from tests.silo_node.rounds.test_restart import check

STEWARD, HOLDER, LATE = 1, 2, 3


class Ending(Line):
    """The line of a silo that ends where it would wait for another that asks for the key."""

    def wait_or_answer(self, round_number: int, phase: Phase) -> Board:
        raise Unreachable("the silo ends here")


@pytest.fixture
def world(tmp_path: Path, members: Members) -> Iterator[World]:
    world = World(tmp_path / "world", with_rounds(members, 1))
    with world.working():
        yield world


def until(condition: object) -> None:
    end = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)


def advertised(world: World) -> list[str]:
    return world.hub.stored("rounds/*/advertise-*")


def test_a_steward_waits_for_a_silo_that_asks_and_again_when_it_is_started_meanwhile(world: World) -> None:
    one = world.start(STEWARD, Ending(world, STEWARD))
    one.thread.join(20)
    one.agent.ledger.close()
    one = world.start(STEWARD)
    until(lambda: one.line.waits_for == (1, Phase.ADVERTISED))
    assert one.agent.progress.said["phase"] in AWAITED
    assert not advertised(world)
    assert not world.entries(STEWARD, "round_opened")
    world.start(HOLDER)
    until(lambda: len(advertised(world)) == 2)
    world.start(LATE)
    world.finish()
    check(world, 1)


def test_a_silo_that_was_handed_the_key_and_lost_it_before_it_kept_it_is_handed_it_again(world: World) -> None:
    """The steward has gone on, and answers the new request while it waits for the round."""
    digest = world.members.study.digest()
    world.hub.submit(HOLDER, KeyRequest(digest, 1, HOLDER, HybridKey.generate().public_key))
    world.start(STEWARD)
    until(lambda: advertised(world))
    world.start(HOLDER)
    world.start(LATE)
    world.finish()
    check(world, 1)


def test_a_steward_is_not_kept_from_a_round_that_began_without_it(world: World) -> None:
    """Others have the key, and the aggregator's old copy does not know who was granted it."""
    line = Line(world, STEWARD)
    line.wait_or_answer = lambda *_: Board(True, Phase.SHARED)  # type: ignore[method-assign]
    world.start(STEWARD, line)
    until(lambda: advertised(world))
    for index in (HOLDER, LATE):
        world.start(index)
    world.finish()
    check(world, 1)

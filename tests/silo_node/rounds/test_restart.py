"""A silo that is stopped at any durable step and started again: no round trained twice, no second list signed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from privacy import durable
from privacy.channel.envelope import Signed
from privacy.ledger.store import Ledger
from privacy.wire.requests import Board, Phase
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.stored_upload import StoredUpload
from tests.aggregator.members import Members
from tests.silo_node.direct import Line, World, with_rounds


class Killed(BaseException):
    """The process is gone."""


class Fuse:
    """Lets `left` steps of one silo happen and kills it at the next."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.steps: list[str] = []

    def burn(self, what: str) -> None:
        if len(self.steps) == self.left:
            raise Killed
        self.steps.append(what)


class BurningLine(Line):
    """Every message sent is a step: the process may end before or after it."""

    def __init__(self, world: World, index: int, fuse: Fuse) -> None:
        super().__init__(world, index)
        self.fuse = fuse

    def submit(self, message: Signed) -> None:
        self.fuse.burn(f"send {message.kind}")
        super().submit(message)
        self.fuse.burn(f"sent {message.kind}")

    def upload(self, upload: StoredUpload) -> int:
        self.fuse.burn("send upload")
        sent = super().upload(upload)
        self.fuse.burn("sent upload")
        return sent

    def wait(self, round_number: int, phase: Phase, said: tuple[Signed, ...] = ()) -> Board:
        self.fuse.burn(f"wait {phase.name}")
        return super().wait(round_number, phase)


@contextmanager
def burning(world: World, index: int, fuse: Fuse) -> Iterator[None]:
    """Count the steps of one silo: what it writes to disk, to its ledger (whose own tests cut it), and erases."""
    root = world.folder(index)
    write, append, erase = durable.write, Ledger.append, StoredUpload.erase

    def writing(path: Path, data: bytes, **named: int) -> None:
        if path.is_relative_to(root) and not path.is_relative_to(root / "ledger"):
            fuse.burn(f"write {path.name}")
        write(path, data, **named)

    def appending(ledger: Ledger, kind: str, body: dict[str, object]) -> object:
        if ledger.origin.endswith(f"/{world.members.of(index).member.name}"):
            fuse.burn(f"log {kind}")
        return append(ledger, kind, body)  # type: ignore[arg-type]

    def erasing(folder: Path) -> None:
        if folder.is_relative_to(root):
            fuse.burn("erase upload")
        erase(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable, "write", writing)
        patch.setattr(Ledger, "append", appending)
        patch.setattr(StoredUpload, "erase", staticmethod(erasing))
        yield


def stopped_and_started(root: Path, members: Members, index: int, left: int, reboot: bool = False) -> list[str]:
    """One study in which a silo is killed after `left` steps, and started again; returns the steps it got.

    A reboot also loses what is only in memory: the secrets and shares of the round.
    """
    world = World(root, members)
    fuse = Fuse(left)
    world.agent(index).ledger.close()
    with world.working():
        with burning(world, index, fuse):
            others = [other for other in world.everyone if other != index]
            world.start(index, BurningLine(world, index, fuse))
            for other in others:
                world.start(other)
            world.until_ended(index)
        killed = world.running[index].error
        assert killed is None or isinstance(killed, Killed), killed
        if killed is not None:
            world.running[index].agent.ledger.close()
            if reboot:
                shutil.rmtree(world.running[index].agent.runtime, ignore_errors=True)
            world.start(index)
        world.finish()
        check(world, members.study.training.rounds)
    return fuse.steps


def check(world: World, rounds: int) -> None:
    results = [one.result for one in world.running.values()]
    assert all(isinstance(result, GlobalModel) for result in results), [one.error for one in world.running.values()]
    assert len({result.chain for result in results if result}) == 1
    assert len(world.trained) == len(set(world.trained)), "a round was trained twice"
    for index in world.everyone:
        numbers = range(1, rounds + 2)
        assert [body["round"] for body in world.entries(index, "closed")] == list(numbers), index
        begun = [body["round"] for body in world.entries(index, "round_opened")]
        assert len(begun) == len(set(begun)), "a round was opened twice"
        signed = [body["round"] for body in world.entries(index, "survivors_signed")]
        assert len(signed) == len(set(signed)), "two survivor lists were signed"
        reserved = [body["round"] for body in world.entries(index, "reserved")]
        assert len(reserved) == len(set(reserved)), "a round was charged twice"
        assert {number for silo, number in world.trained if silo == index} <= set(reserved)
        assert not list(world.running[index].agent.runtime.glob("*")), "secrets of a round are left"
    ends = [
        [(body["round"], body["outcome"], body["chain"]) for body in world.entries(index, "closed")]
        for index in world.everyone
    ]
    assert all(end == ends[0] for end in ends)


def stop_at(root: Path, members: Members, index: int, first: int, stride: int, reboot: bool = False) -> None:
    short = with_rounds(members, 1)
    total = len(stopped_and_started(root / "whole", short, index, 10**6))
    assert total > 70
    for left in range(first, total, stride):
        try:
            stopped_and_started(root / f"{left}", short, index, left, reboot)
        except BaseException as error:
            error.add_note(f"stopped after {left} of {total} steps")
            raise


def test_a_silo_goes_on_after_a_stop_at_some_steps(tmp_path: Path, members: Members) -> None:
    stop_at(tmp_path, members, index=2, first=3, stride=18)


def test_a_silo_goes_on_after_a_reboot_at_some_steps(tmp_path: Path, members: Members) -> None:
    stop_at(tmp_path, members, index=2, first=7, stride=18, reboot=True)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("index", [1, 2], ids=["steward", "member"])
@pytest.mark.parametrize("reboot", [False, True], ids=["kill", "reboot"])
def test_a_silo_goes_on_after_a_stop_at_every_step(tmp_path: Path, members: Members, index: int, reboot: bool) -> None:
    stop_at(tmp_path, members, index, first=0, stride=1, reboot=reboot)


@pytest.mark.parametrize("left", [24, 30, 33, 36, 40, 44, 48, 52, 56, 60])
def test_three_of_four_close_the_round_while_one_is_stopped_and_started(
    tmp_path: Path, four: Members, left: int
) -> None:
    """The one that comes back ends with the same model: from its own upload, or from the sum of the others."""
    stopped_and_started(tmp_path / "world", with_rounds(four, 1), 2, left)

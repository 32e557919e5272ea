"""A silo compares the others' Closes with its own, whatever the aggregator says, and keeps their ledgers' heads."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire import bodies
from privacy.wire.messages import Abandon, Close
from privacy.wire.requests import Board, Phase
from tests.silo_node.direct import Line, World

VICTIM, OTHER = 2, 3
Lie = Callable[[World, Board], Board]


def other_close(world: World, **changes: object) -> Lie:
    """A Close that one silo signed otherwise, and that only the victim is shown."""
    identity = world.members.of(OTHER)

    def lie(_: World, board: Board) -> Board:
        def altered(message: Signed) -> Signed:
            if message.signer != identity.member.name:
                return message
            close = bodies.open_signed(message, Close, identity.keys.public_identity)
            return world.members.seal(OTHER, replace(close, **changes))  # type: ignore[arg-type]

        return replace(board, messages=tuple(map(altered, board.messages)))

    return lie


def abandoned(world: World, _: Board) -> Board:
    hub = world.members.hub
    body = Abandon(world.members.study.digest(), 1, "because")
    return Board(True, Phase.ABANDONED, (bodies.seal(body, hub.member.name, hub.keys.identity),))


class LyingAtClose(Line):
    """Changes what one silo sees of the Closes of round 1."""

    lie: Lie

    def wait(self, round_number: int, phase: Phase, said: tuple[Signed, ...] = ()) -> Board:
        board = super().wait(round_number, phase)
        return self.lie(self.world, board) if (round_number, phase) == (1, Phase.CLOSED) else board


def victim_of(world: World, lie: Lie) -> ProtocolError:
    line = LyingAtClose(world, VICTIM)
    line.lie = lie
    for index in world.everyone:
        world.start(index, line if index == VICTIM else None)
    world.running[VICTIM].thread.join(20)
    error = world.running[VICTIM].error
    assert isinstance(error, ProtocolError), error
    return error


@pytest.mark.parametrize("name", ["survivors_hash", "chain", "sum_mac"])
def test_another_sum_halts_the_study_until_a_person_acts(world: World, name: str) -> None:
    error = victim_of(world, other_close(world, **{name: b"\7" * 32}))
    assert error.code == "close.differs"
    assert [body["code"] for body in world.entries(VICTIM, "incident")] == ["close.differs"]
    assert [body["round"] for body in world.entries(VICTIM, "round_opened")] == [1]
    world.running[VICTIM].agent.ledger.close()
    again = world.start(VICTIM)
    again.thread.join(20)
    assert isinstance(again.error, ProtocolError)
    assert again.error.code == "study.halted"


def test_a_round_that_we_closed_and_others_hold_abandoned_halts_the_study(world: World) -> None:
    assert victim_of(world, abandoned).code == "close.differs"
    assert world.running[VICTIM].agent.folder.halted.exists()


def test_too_few_closes_stop_the_silo_and_nothing_is_halted_for_good(world: World) -> None:
    assert victim_of(world, lambda _, board: replace(board, messages=board.messages[:1])).code == "close.too_few"
    assert not world.running[VICTIM].agent.folder.halted.exists()
    world.running[VICTIM].agent.ledger.close()
    world.start(VICTIM)
    world.finish()
    assert world.running[VICTIM].error is None
    assert [body["round"] for body in world.entries(VICTIM, "witnessed")] == [1, 2, 3]


def test_the_heads_of_the_others_are_kept_and_never_go_back(world: World) -> None:
    """Another silo's Close of round 2 says that its ledger is shorter than it was after round 1."""

    class RolledBack(Line):
        def submit(self, message: Signed) -> None:
            if message.kind == bodies.kind_of(Close):
                close = bodies.open_signed(message, Close, self.world.members.of(OTHER).keys.public_identity)
                if close.round_number == 2:
                    message = self.world.members.seal(OTHER, replace(close, ledger_size=1))
            super().submit(message)

    for index in world.everyone:
        world.start(index, RolledBack(world, index) if index == OTHER else None)
    world.finish()
    assert all(one.error is None for one in world.running.values()), [one.error for one in world.running.values()]
    names = [silo.name for silo in world.members.study.roster.silos]
    first, second, third = (
        {head["party"]: head for head in body["heads"]} for body in world.entries(VICTIM, "witnessed")
    )
    assert set(first) == set(names) - {names[VICTIM - 1]}
    assert second[names[OTHER - 1]] == first[names[OTHER - 1]]
    assert second[names[0]]["size"] > first[names[0]]["size"]
    assert third[names[OTHER - 1]]["size"] > first[names[OTHER - 1]]["size"]
    codes = [body["code"] for body in world.entries(VICTIM, "incident")]
    assert codes == ["ledger.rolled_back"]
    assert not world.entries(OTHER, "incident")

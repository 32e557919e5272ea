"""A round that the revealed shares do not open ends abandoned at every silo, on the word of t silos and on no other."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.secagg import share_set, unmask
from privacy.wire import bodies
from privacy.wire.messages import UNOPENABLE, Abandon, Close, Unmask, Unopenable
from privacy.wire.requests import Board, Phase
from silo_node.rounds.standing import Standing
from tests.silo_node.direct import Line, World

CULPRIT, VICTIM = 2, 3
honest = Standing.advance


@pytest.fixture
def deals_inconsistent_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """The culprit shares another b than it advertised in round 1, with right commitments."""
    honest = share_set.build

    def build(place: object, secrets: object, advertised: object) -> object:
        if (place.silo, place.round_number) == (CULPRIT, 1):  # type: ignore[attr-defined]
            secrets = replace(secrets, b=bytes(32))  # type: ignore[type-var]
        return honest(place, secrets, advertised)  # type: ignore[arg-type]

    monkeypatch.setattr("silo_node.rounds.key_exchange.share_set.build", build)


class Silent(Line):
    """A culprit that does not help to end its round."""

    def submit(self, message: Signed) -> None:
        if message.kind == bodies.kind_of(Unopenable):
            self.wait(1, Phase.CLOSED)
        else:
            super().submit(message)


def outcomes(world: World, index: int) -> list[object]:
    return [body["outcome"] for body in world.entries(index, "closed")]


def codes(world: World, index: int) -> list[object]:
    return [body["code"] for body in world.entries(index, "incident")]


@pytest.mark.usefixtures("deals_inconsistent_shares")
def test_inconsistent_shares_cost_the_round_and_name_their_dealer(large: World) -> None:
    for index in large.everyone:
        large.start(index, Silent(large, index) if index == CULPRIT else None)
    large.finish(40)
    assert [one.error for one in large.running.values()] == [None] * 4
    for index in large.everyone:
        assert outcomes(large, index) == ["abandoned", "closed", "closed"]
        assert codes(large, index) == ["share.inconsistent", "round.abandoned"]
        (said,) = large.entries(index, "unopenable")
        assert (said["culprit"], said["code"]) == (CULPRIT, "share.inconsistent")
    assert len({one.result.chain for one in large.running.values() if one.result}) == 1
    assert large.trained.count((1, 1)) == 1


def test_too_few_right_shares_end_the_round_and_name_who_sent_wrong_ones(
    large: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = unmask.build

    def build(place: object, group: bytes, digest: bytes, revealed: object) -> Unmask:
        if (place.silo, place.round_number) == (CULPRIT, 1):  # type: ignore[attr-defined]
            revealed = replace(revealed, shares=tuple(bytes(32) for _ in revealed.shares))  # type: ignore[type-var, attr-defined]
        return honest(place, group, digest, revealed)  # type: ignore[arg-type]

    monkeypatch.setattr("silo_node.rounds.opening.unmask.build", build)

    class DoesNotReveal(Line):
        def submit(self, message: Signed) -> None:
            if message.kind == bodies.kind_of(Unmask) and self.board(2, Phase.ADVERTISED).phase < Phase.ADVERTISED:
                return
            super().submit(message)

    for index in large.everyone:
        large.start(index, DoesNotReveal(large, index) if index == 4 else None)
    large.finish(40)
    for index in large.everyone:
        assert outcomes(large, index)[0] == "abandoned"
        assert codes(large, index)[:2] == ["unmask.too_few", "round.abandoned"]
        assert large.entries(index, "unopenable")[0]["culprit"] == CULPRIT


class Partial(Line):
    """Shows one silo fewer unmask messages of round 1 than there are."""

    def wait(self, round_number: int, phase: Phase, said: tuple[Signed, ...] = ()) -> Board:
        board = super().wait(round_number, phase)
        if (round_number, phase) == (1, Phase.UNMASKED):
            return replace(board, messages=board.messages[:2])
        return board


def test_a_silo_that_said_so_never_opens_the_round_whatever_it_is_shown_later(large: World) -> None:
    """Two views of the UnmaskSet: the others close, the victim does not contradict itself and stops for a person."""
    for index in large.everyone:
        large.start(index, Partial(large, index) if index == VICTIM else None)
    large.running[VICTIM].thread.join(20)
    error = large.running[VICTIM].error
    assert isinstance(error, ProtocolError)
    assert error.code in ("unopenable.other_shares", "close.differs")
    (said,) = large.entries(VICTIM, "unopenable")
    large.running[VICTIM].agent.folder.halted.unlink(missing_ok=True)
    large.running[VICTIM].agent.ledger.close()
    large.start(VICTIM)
    large.finish(40)
    error = large.running[VICTIM].error
    assert isinstance(error, ProtocolError)
    assert error.code == "close.differs"
    assert large.entries(VICTIM, "unopenable") == [said]
    assert not large.entries(VICTIM, "closed")
    assert large.running[VICTIM].agent.folder.halted.exists()
    assert all(outcomes(large, index) == ["closed"] * 3 for index in (1, 2, 4))


def none(_: World) -> tuple[Signed, ...]:
    return ()


def two_of_three(world: World) -> tuple[Signed, ...]:
    body = Unopenable(b"c" * 32, 1, b"s" * 32, b"u" * 32, 1, "share.inconsistent")
    return tuple(world.members.seal(index, body) for index in (1, 2, 4))


@pytest.mark.parametrize("proof", [none, two_of_three])
def test_an_aggregator_that_only_says_so_is_not_believed(
    large: World, proof: Callable[[World], tuple[Signed, ...]]
) -> None:
    hub = large.members.hub
    message = bodies.seal(Abandon(large.members.study.digest(), 1, UNOPENABLE), hub.member.name, hub.keys.identity)

    class Abandoning(Line):
        def wait(self, round_number: int, phase: Phase, said: tuple[Signed, ...] = ()) -> Board:
            if phase in (Phase.UNMASKED, Phase.ABANDONED) and round_number == 1:
                return Board(True, Phase.ABANDONED, (message, *proof(large)))
            return super().wait(round_number, phase)

    for index in large.everyone:
        large.start(index, Abandoning(large, index) if index == VICTIM else None)
    large.running[VICTIM].thread.join(20)
    error = large.running[VICTIM].error
    assert isinstance(error, ProtocolError)
    assert error.code == "round.foreign_abandon"
    assert not large.entries(VICTIM, "closed")


@pytest.mark.usefixtures("deals_inconsistent_shares")
def test_a_silo_that_is_stopped_before_it_could_say_so_says_it_after_its_restart(large: World) -> None:
    class Stopped(Line):
        def submit(self, message: Signed) -> None:
            if message.kind == bodies.kind_of(Unopenable):
                raise KeyboardInterrupt
            super().submit(message)

    for index in large.everyone:
        line = {CULPRIT: Silent, VICTIM: Stopped}.get(index, Line)(large, index)
        large.start(index, line)
    large.running[VICTIM].thread.join(20)
    assert isinstance(large.running[VICTIM].error, KeyboardInterrupt)
    large.running[VICTIM].agent.ledger.close()
    large.start(VICTIM)
    large.finish(40)
    assert [one.error for one in large.running.values()] == [None] * 4
    assert all(outcomes(large, index) == ["abandoned", "closed", "closed"] for index in large.everyone)
    assert len(large.entries(VICTIM, "unopenable")) == 1


def test_a_close_that_was_never_sent_is_not_sent_after_the_round_was_abandoned(large: World) -> None:
    """Stopped between the stored Close and the applied sum, and shown another end after the restart."""
    hub = large.members.hub
    message = bodies.seal(Abandon(large.members.study.digest(), 1, "because"), hub.member.name, hub.keys.identity)
    sent: list[str] = []

    class Abandoning(Line):
        def wait(self, round_number: int, phase: Phase, said: tuple[Signed, ...] = ()) -> Board:
            if round_number == 1 and phase >= Phase.SURVIVORS:
                return Board(True, Phase.ABANDONED, (message,))
            return super().wait(round_number, phase)

        def submit(self, message: Signed) -> None:
            sent.append(message.kind)
            super().submit(message)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    name = large.members.of(VICTIM).member.name
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "silo_node.rounds.standing.Standing.advance",
            lambda standing, model: stop(model) if standing.name == name else honest(standing, model),
        )
        for index in large.everyone:
            large.start(index)
        large.running[VICTIM].thread.join(20)
    assert isinstance(large.running[VICTIM].error, KeyboardInterrupt)
    folder = large.running[VICTIM].agent.folder
    assert folder.close_file.exists()
    large.running[VICTIM].agent.ledger.close()
    large.start(VICTIM, Abandoning(large, VICTIM))
    large.running[VICTIM].thread.join(20)
    assert outcomes(large, VICTIM) == ["abandoned"]
    assert not folder.close_file.exists()
    assert bodies.kind_of(Close) not in sent

"""The roster statement at the aggregator: the operator's file, who is let in, and what a round does without a silo."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aggregator.roster_file import RosterFile
from privacy.channel import roster_statement
from privacy.channel.envelope import Signed
from privacy.channel.member import Role
from privacy.channel.statement_memory import StatementMemory
from privacy.errors import ConfigError, IdentityError, StorageError, StudyError
from privacy.study import Study
from privacy.wire import bodies
from privacy.wire.messages import Abandon
from privacy.wire.requests import Phase
from tests.aggregator.hub import Hub
from tests.aggregator.members import Members
from tests.consortium import Consortium
from tests.integration.federation import make_study

WEST = frozenset({4})


@dataclass
class Desk:
    """A `RosterFile` over one folder, and what it said."""

    folder: Path
    consortium: Consortium
    study: Study
    days: int = 0
    adopted: list[tuple[Signed, frozenset[int]]] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)

    def start(self) -> RosterFile:
        key = self.consortium.authority.public_study_key
        self.file = RosterFile(
            self.folder / "statement.json",
            StatementMemory(self.folder / "newest.json", self.study.consortium, key),
            self.study,
            lambda: datetime.now(UTC) + timedelta(days=self.days),
            lambda signed, revoked: self.adopted.append((signed, revoked)),
            lambda error: self.reported.append(error.code),
        )
        return self.file

    def put(self, signed: Signed) -> None:
        (self.folder / "statement.json").write_bytes(roster_statement.dump(signed))

    def let_in(self) -> list[str]:
        """Names of the silos whose next call is let in."""
        return [silo.name for silo in self.study.roster.silos if self._answer(silo.name) != "identity.revoked"]

    def _answer(self, name: str) -> str:
        try:
            self.file.admit(self.consortium.member(Role.SILO, name))
        except IdentityError as error:
            return error.code
        return "admitted"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    consortium = Consortium(tmp_path)
    silos = [consortium.silo(name) for name in ("north", "south", "west")]
    return Desk(tmp_path, consortium, make_study(consortium.aggregator(), silos))


def test_a_revocation_is_effective_on_the_next_call(desk: Desk) -> None:
    first = desk.consortium.roster_statement()
    desk.put(first)
    desk.start().begin()
    assert desk.let_in() == ["north", "south", "west"]
    second = desk.consortium.roster_statement("west")
    desk.put(second)
    assert desk.let_in() == ["north", "south"]
    assert desk.adopted == [(first, frozenset()), (second, frozenset({3}))]
    assert desk.reported == []


def test_whatever_else_is_put_there_the_newest_statement_stays(desk: Desk, tmp_path: Path) -> None:
    old = desk.consortium.roster_statement()
    desk.put(desk.consortium.roster_statement("west"))
    desk.start().begin()
    foreign = Consortium(tmp_path / "foreign")
    desk.put(old)
    assert desk.let_in() == ["north", "south"]
    desk.put(foreign.roster_statement())
    assert desk.let_in() == ["north", "south"]
    (tmp_path / "statement.json").write_text("{")
    assert desk.let_in() == ["north", "south"]
    (tmp_path / "statement.json").unlink()
    assert desk.let_in() == ["north", "south"]
    assert desk.reported == ["roster.rollback", "roster.bad_signature", "config.invalid"]
    assert len(desk.adopted) == 1
    desk.start().begin()  # also when it starts again, without a file
    assert desk.let_in() == ["north", "south"]
    assert len(desk.adopted) == 2


def test_a_study_that_requires_statements_is_not_served_without_one(desk: Desk) -> None:
    with pytest.raises(ConfigError, match="collegium-consortium roster-statement") as caught:
        desk.start().begin()
    assert caught.value.code == "config.no_roster_statement"
    roster = desk.study.roster.model_copy(update={"statements": "none"})
    desk.study = desk.study.model_copy(update={"roster": roster})
    desk.start().begin()
    assert desk.let_in() == ["north", "south", "west"]
    desk.put(desk.consortium.roster_statement("west"))
    assert desk.let_in() == ["north", "south"]


def test_an_expired_statement_is_served_and_said(desk: Desk) -> None:
    desk.put(desk.consortium.roster_statement("west"))
    desk.days = 31
    desk.start().begin()
    assert desk.reported == ["roster.expired"]
    assert desk.let_in() == ["north", "south"]
    assert len(desk.adopted) == 1


def test_a_statement_that_expires_while_it_is_served_is_said_once(desk: Desk) -> None:
    desk.put(desk.consortium.roster_statement("west"))
    desk.start().begin()
    desk.let_in()
    assert desk.reported == []
    desk.days = 31
    assert desk.let_in() == ["north", "south"]
    desk.let_in()
    assert desk.reported == ["roster.expired"]
    desk.put(desk.consortium.roster_statement(now=datetime.now(UTC) + timedelta(days=31)))
    desk.let_in()
    assert desk.reported == ["roster.expired"]
    desk.days = 62  # the renewed one expires, too
    desk.let_in()
    assert desk.reported == ["roster.expired", "roster.expired"]
    desk.start().begin()  # a program that starts again has not told anybody yet
    assert desk.reported[2:] == ["roster.expired"]


def test_a_revocation_that_cannot_be_kept_lets_nobody_in(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put(desk.consortium.roster_statement())
    desk.start().begin()
    desk.put(desk.consortium.roster_statement("west"))

    def full(*_: object, **__: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("privacy.channel.statement_memory.durable.write", full)
        for _ in range(2):
            with pytest.raises(StorageError):
                desk.let_in()
    assert desk.let_in() == ["north", "south"]


def test_who_is_not_on_the_roster_is_no_matter_of_statements(desk: Desk) -> None:
    desk.put(desk.consortium.roster_statement())
    desk.start().begin()
    with pytest.raises(StudyError):
        desk.file.admit(desk.consortium.member(Role.SILO, "east"))


# ---- rounds without a silo


@pytest.fixture(scope="module")
def revoking(four: Members) -> Signed:
    return four.consortium.roster_statement("west")


def abandoned(hub: Hub) -> str:
    hub.work()
    board = hub.board(1, Phase.CLOSED)
    assert board.phase == Phase.ABANDONED
    return bodies.open_signed(board.messages[0], Abandon, hub.members.hub.keys.public_identity).reason


def test_the_statement_is_shown_with_the_round_keys_and_nowhere_else(hub: Hub) -> None:
    assert hub.board(1, Phase.ADVERTISED).roster_statement == hub.members.statement
    hub.set_up()
    assert hub.board(1, Phase.ADVERTISED).roster_statement == hub.members.statement
    assert hub.board(1, Phase.SHARED).roster_statement is None


def test_keys_of_a_revoked_silo_leave_a_set_that_still_fills(large: Hub, revoking: Signed) -> None:
    large.advertise(1)
    large.advertise(4)
    large.coordinator.relay(revoking, WEST)
    with pytest.raises(IdentityError) as caught:
        large.advertise(4)
    assert caught.value.code == "identity.revoked"
    large.restart()
    large.coordinator.relay(revoking, WEST)
    for index in (2, 3):
        large.advertise(index)
    board = large.board(1, Phase.ADVERTISED)
    assert [message.signer for message in board.messages] == ["north", "south", "east"]
    assert board.roster_statement == revoking


def test_a_set_that_waited_for_the_revoked_silo_alone_is_frozen(large: Hub, revoking: Signed) -> None:
    for index in (1, 2, 3):
        large.advertise(index)
    large.coordinator.relay(revoking, WEST)
    assert large.board(1, Phase.ADVERTISED).reached


def test_a_frozen_set_with_a_revoked_silo_ends_the_round_and_the_next_goes_on(large: Hub, revoking: Signed) -> None:
    for index in large.everyone:
        large.advertise(index)
    large.share(1)
    large.coordinator.relay(revoking, WEST)
    assert abandoned(large) == "silo_revoked"
    for index in (1, 2, 3):
        large.advertise(index, 2)
    assert large.board(2, Phase.ADVERTISED).reached


def test_a_frozen_set_without_it_is_left_alone(large: Hub, revoking: Signed) -> None:
    large.set_up(silos=(1, 2, 3))
    before = large.board(1, Phase.ADVERTISED).messages
    large.coordinator.relay(revoking, WEST)
    assert large.board(1, Phase.ADVERTISED).messages == before


def test_too_few_that_are_left_end_the_round(large: Hub, revoking: Signed) -> None:
    for index in (1, 4):
        large.advertise(index)
    for index in (2, 3):  # there, and too slow
        large.board(1, Phase.ADVERTISED, milliseconds=1, index=index)
    large.coordinator.relay(revoking, frozenset({2, 3, 4}))
    assert not large.board(1, Phase.ADVERTISED).reached
    large.now += 20
    assert abandoned(large) == "too_few_advertised"

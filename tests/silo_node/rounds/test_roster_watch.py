"""What a silo makes of the roster statement that the aggregator shows with the round keys."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from privacy.channel import roster_statement
from privacy.channel.envelope import Signed
from privacy.channel.member import Role
from privacy.channel.roster_statement import Reason
from privacy.channel.statement_memory import StatementMemory
from privacy.errors import CollegiumError, IdentityError, ProtocolError, Unreachable
from privacy.wire.requests import Board, Phase
from silo_node.connection.client import AggregatorClient
from silo_node.rounds import roster_watch
from silo_node.rounds.progress import Progress
from silo_node.rounds.roster_watch import RosterWatch
from tests.aggregator.members import Members

NORTH = 1


@dataclass
class Shown:
    """Boards of round keys that an aggregator shows, one after the other; the last for good."""

    statements: list[Signed | None]
    looks: int = 0

    def board(self, round_number: int, phase: Phase) -> Board:
        assert phase is Phase.ADVERTISED
        self.looks += 1
        shown = self.statements.pop(0) if len(self.statements) > 1 else self.statements[0]
        return Board(False, Phase.KEYS_GRANTED, roster_statement=shown)


@pytest.fixture
def members(tmp_path: Path) -> Members:
    return Members.enrol(tmp_path)


def watch(
    members: Members, folder: Path, *shown: Signed | None, days: float = 0, patience: float = 0.0, study: object = None
) -> RosterWatch:
    identity = members.of(NORTH)
    return RosterWatch(
        members.study if study is None else study,  # type: ignore[arg-type]
        identity,
        StatementMemory(folder / "newest.json", identity.member.consortium, identity.study_key),
        cast(AggregatorClient, Shown(list(shown))),
        Progress(None, 1),
        clock=lambda: datetime.now(UTC) + timedelta(days=days),
        patience=patience,
    )


def refused(call: Callable[[], object], kind: type[CollegiumError]) -> str:
    with pytest.raises(kind) as caught:
        call()
    return caught.value.code


def test_revoked_silos_are_named_by_their_place_on_the_roster(members: Members, tmp_path: Path) -> None:
    statement = members.consortium.roster_statement("east")
    watching = watch(members, tmp_path, statement)
    watching.before(1)
    assert watching.revoked(Board(True, Phase.ADVERTISED, roster_statement=statement)) == {3}
    assert watching.known() == {3}


def test_no_statement_is_enough_only_for_a_study_that_requires_none(members: Members, tmp_path: Path) -> None:
    assert refused(lambda: watch(members, tmp_path, None).before(1), ProtocolError) == "roster.missing"
    roster = members.study.roster.model_copy(update={"statements": "none"})
    lax = members.study.model_copy(update={"roster": roster})
    watching = watch(members, tmp_path, None, study=lax)
    watching.before(1)
    # One that is shown all the same is held to.
    statement = members.consortium.roster_statement("east")
    assert watching.revoked(Board(True, Phase.ADVERTISED, roster_statement=statement)) == {3}


def test_an_expired_statement_is_waited_out(members: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster_watch, "LOOK_SECONDS", 0.01)
    old = members.statement
    renewed = members.consortium.roster_statement(now=datetime.now(UTC) + timedelta(days=31))
    watching = watch(members, tmp_path, old, old, renewed, days=31, patience=30)
    watching.before(4)
    assert watching.client.looks == 3  # type: ignore[attr-defined]
    assert watching.memory.signed == renewed


def test_an_expired_statement_that_nobody_renews_is_refused(
    members: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster_watch, "LOOK_SECONDS", 0.01)
    watching = watch(members, tmp_path, members.statement, days=31, patience=0.05)
    said: list[object] = []
    monkeypatch.setattr(watching.progress, "say", lambda event, number, phase: said.append(phase))
    with pytest.raises(Unreachable, match="run 'collegium-consortium roster-statement'") as caught:
        watching.before(1)
    assert watching.client.looks > 1  # type: ignore[attr-defined]
    assert said.count("waiting for a roster statement") == 1, "not at every look, for days"
    assert caught.value.exit_code == Unreachable.exit_code == 75, "service managers start it again"


@pytest.mark.parametrize("name", ["north", "hub"])
def test_a_silo_that_is_revoked_or_whose_aggregator_is_stops_for_good(
    members: Members, tmp_path: Path, name: str
) -> None:
    authority, now = members.consortium.authority, datetime.now(UTC)
    role = Role.AGGREGATOR if name == "hub" else Role.SILO
    revoking = authority.revocations.revoke(
        authority.admitted(role, name), Reason.PRIVILEGE_WITHDRAWN, now, timedelta(days=1)
    )
    watching = watch(members, tmp_path, revoking)
    watching.refuse_if_revoked()
    assert refused(lambda: watching.before(1), IdentityError) == "identity.revoked"
    # Started again it needs no aggregator to know, nor does it matter that the statement has expired.
    again = watch(members, tmp_path, None, days=40)
    with pytest.raises(
        IdentityError, match=r"revoked since .* \(privilege-withdrawn\) by roster statement 2"
    ) as caught:
        again.refuse_if_revoked()
    assert caught.value.code == "identity.revoked"


def test_a_forged_statement_is_refused_at_once(members: Members, tmp_path: Path) -> None:
    forged = roster_statement.sign(
        roster_statement.open_signed(members.statement, "chest-net", members.of(NORTH).study_key),
        members.hub.keys.identity,
    )
    watching = watch(members, tmp_path, forged, patience=60)
    assert refused(lambda: watching.before(1), IdentityError) == "roster.bad_signature"
    assert watching.client.looks == 1  # type: ignore[attr-defined]

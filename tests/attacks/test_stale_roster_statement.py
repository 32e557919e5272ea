"""Attack 7, stale RosterStatement: the aggregator keeps from the others that its accomplice among them was revoked.

West's keys are in strange hands and the consortium has said so. The aggregator goes on serving the statement from
before, or none, or one of its own making, so that west stays in the rounds and is among those whose shares open masks.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from aggregator.rounds.coordinator import Coordinator
from privacy.channel import roster_statement
from privacy.channel.envelope import Signed
from privacy.channel.roster_statement import RosterStatement
from privacy.channel.statement_memory import StatementMemory
from privacy.errors import ProtocolError
from privacy.wire.requests import Board, Phase
from silo_node.rounds.agent import Agent
from silo_node.rounds.roster_watch import RosterWatch
from tests.attacks.stage import Stage, codes, incidents, kinds
from tests.consortium import Consortium
from tests.integration.federation import Federation

HONEST, EVERYBODY = (1, 2, 3), (1, 2, 3, 4)
Cast = Callable[[Agent], None]


class Withholds(Coordinator):
    """Relays no statement."""

    def relay(self, statement: Signed, revoked: frozenset[int]) -> None:
        pass


class Forges(Coordinator):
    """Relays a statement of its own in the consortium's name, in which nobody is revoked."""

    def relay(self, statement: Signed, revoked: frozenset[int]) -> None:
        shown = RosterStatement.model_validate_json(statement.body).model_copy(update={"serial": 9})
        super().relay(roster_statement.sign(shown, self._publication.key), frozenset())


class LetsIn(Coordinator):
    """Relays the newest statement, and takes the accomplice into the round all the same."""

    def relay(self, statement: Signed, revoked: frozenset[int]) -> None:
        super().relay(statement, frozenset())


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    folder = tmp_path_factory.mktemp("stale")
    return Federation(folder, Consortium(folder), silos=4, rounds=1)


@pytest.fixture(scope="module")
def newer(federation: Federation) -> Signed:
    """The statement that revokes west; the aggregator's file stays the one before it."""
    return federation.consortium.roster_statement("west")


@pytest.fixture
def stage(federation: Federation, newer: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(federation, monkeypatch).at(tmp_path)


def fails(stage: Stage, hub: type[Coordinator], cast: Cast, code: str) -> None:
    """Every honest silo refuses: it makes no key, opens no round and reserves no budget."""
    agents, results = stage.play(hub, cast, HONEST)
    assert codes(results) == {code}
    for agent in agents:
        assert not {"key_granted", "round_opened", "reserved"} & set(kinds(agent))
        assert incidents(agent) == [code]


def succeeds(stage: Stage, hub: type[Coordinator], cast: Cast) -> None:
    """The accomplice is in the round, and all go through it."""
    _, results = stage.play(hub, cast)
    assert codes(results) == {"ok"}
    assert stage.store(1).get_set("advertised") == EVERYBODY


def as_they_are(agent: Agent) -> None:
    """Nobody knows more than the aggregator tells."""


def saw(statement: Signed) -> Cast:
    """The honest silos have seen a statement before."""

    def cast(agent: Agent) -> None:
        if agent.identity.member.name != "west":
            agent.roster.memory.take(statement, datetime.now(UTC))

    return cast


def a_month_later(agent: Agent) -> None:
    """It is the day after the old statement expired."""
    agent.roster = replace(agent.roster, clock=lambda: datetime.now(UTC) + timedelta(days=31))


def test_attack_rolled_back_statement_on(stage: Stage, newer: Signed) -> None:
    """An older statement than silos have seen."""
    fails(stage, Coordinator, saw(newer), "roster.rollback")


def test_attack_rolled_back_statement_off(stage: Stage, newer: Signed) -> None:
    """Silos remember nothing."""

    def forgetful(memory: StatementMemory, signed: Signed, now: datetime) -> RosterStatement:
        memory._signed, memory._newest = signed, memory._opened(signed)
        return memory._newest

    stage.patch.setattr(StatementMemory, "take", forgetful)
    succeeds(stage, Coordinator, saw(newer))


def test_attack_stale_statement_on(stage: Stage) -> None:
    """An old statement of which silos know no newer."""
    fails(stage, Coordinator, a_month_later, "roster.expired")


def test_attack_stale_statement_off(stage: Stage) -> None:
    """Statements hold for ever."""
    stage.patch.setattr(RosterStatement, "check_current", lambda statement, now: None)
    succeeds(stage, Coordinator, a_month_later)


def test_attack_withheld_statement_on(stage: Stage) -> None:
    """No statement at all."""
    fails(stage, Withholds, as_they_are, "roster.missing")


def test_attack_withheld_statement_off(stage: Stage) -> None:
    """The study requires none."""
    study = stage.federation.study
    roster = study.roster.model_copy(update={"statements": "none"})
    stage.patch.setattr(stage.federation, "study", study.model_copy(update={"roster": roster}))
    succeeds(stage, Withholds, as_they_are)


def test_attack_forged_statement_on(stage: Stage) -> None:
    """A statement of the aggregator's making."""
    fails(stage, Forges, as_they_are, "roster.bad_signature")


def test_attack_forged_statement_off(stage: Stage) -> None:
    """Anybody may sign statements."""
    stage.patch.setattr(roster_statement.envelope, "verify", lambda signed, key, kind: signed.body)
    succeeds(stage, Forges, as_they_are)


def test_the_newest_statement_beside_a_set_with_the_accomplice(
    stage: Stage, newer: Signed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The aggregator tells the truth about west and takes its keys all the same."""
    (tmp_path / "newest.json").write_bytes(roster_statement.dump(newer))
    monkeypatch.setattr(stage.federation, "statement", tmp_path / "newest.json")
    monkeypatch.setattr("aggregator.app.RosterFile.admit", lambda roster, member: None)

    def accomplice(agent: Agent) -> None:
        credulous(agent)
        if agent.identity.member.name == "west":
            published = agent.client.published
            agent.client.published = partial(left, published)  # type: ignore[method-assign]
        else:
            agent.roster = Generous(**vars(agent.roster))

    agents, results = stage.play(LetsIn, accomplice)
    assert codes(results) == {"round.revoked", "test.left"}
    assert all("reserved" not in kinds(agent) for agent in agents)
    # Off: silos do not compare the set with the statement.
    monkeypatch.setattr(RosterStatement, "silos_of", lambda statement, roster: frozenset())
    succeeds(stage.at(tmp_path / "off"), LetsIn, credulous)


class Generous(RosterWatch):
    """Hands keys to everybody, so that the accomplice gets as far as the set of round keys."""

    def known(self) -> frozenset[int]:
        return frozenset()


class Credulous(RosterWatch):
    """The accomplice's: nobody is revoked, itself least of all."""

    def revoked(self, board: Board) -> frozenset[int]:
        return frozenset()


def credulous(agent: Agent) -> None:
    """Only the accomplice deceives itself."""
    if agent.identity.member.name == "west":
        agent.roster = Credulous(**vars(agent.roster))


def left(published: Callable[..., Board], number: int, phase: Phase, said: tuple[Signed, ...] = ()) -> Board:
    if phase == Phase.SHARED:
        raise ProtocolError("the accomplice is not waited for", code="test.left")
    return published(number, phase, said)

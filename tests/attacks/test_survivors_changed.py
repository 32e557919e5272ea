"""Attack 7 against running silos: a sum or a list of another round, S changed after Sign, an omitted upload."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, NoReturn

import pytest

from aggregator.rounds import fold as folding
from aggregator.rounds.states import Folding, Published
from aggregator.storage.store import RoundStore
from privacy.channel.envelope import Signed
from privacy.he.params import CiphertextParams
from privacy.wire import bodies
from privacy.wire.messages import Sign, Survivors
from privacy.wire.requests import AwaitRequest, Board, Phase
from silo_node.rounds.agent import Agent
from silo_node.rounds.records import RoundRecords
from tests.attacks.stage import HidesRejects, Stage, codes, incidents, kinds, stage_of
from tests.attacks.test_reaction_attack import REFUSED, gullible

VICTIM = 4


def replaying(params: CiphertextParams, sizes: tuple[int, ...], silos: tuple[int, ...], store: RoundStore) -> object:
    """In the second round, serves the sum of the first again."""
    digests = folding.fold(params, sizes, silos, store)
    kept = RoundStore(store._state, 1000)
    if not kept.sum_frames():
        kept.put_sum(0, store.sum_frame(0))
        return digests
    store.put_sum(0, kept.sum_frame(0))
    return (hashlib.sha256(store.sum_frame(0)).digest(),)


def test_attack_replayed_sum_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of(tmp_path, monkeypatch, rounds=2)
    monkeypatch.setattr("aggregator.rounds.publication.fold", replaying)
    asked = stage.openings()
    agents, results = stage.play()
    assert codes(results) == {REFUSED}
    assert len(asked) == len(agents)  # in the first round, which was in order


def test_attack_replayed_sum_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of(tmp_path, monkeypatch, rounds=2)
    monkeypatch.setattr("aggregator.rounds.publication.fold", replaying)
    asked = stage.openings()
    gullible(monkeypatch)
    agents, _ = stage.play()
    assert len(asked) == 2 * len(agents)


class OmitsAcknowledged(HidesRejects):
    """Acknowledges every upload and leaves the victim's out of the sum."""

    def _publish(self, number: int, state: Folding) -> None:
        kept = {index: upload for index, upload in state.uploads.items() if index != VICTIM}
        super()._publish(number, replace(state, uploads=kept) if number == 1 else state)


def test_attack_omitted_upload_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The victim knows, has it in its ledger and goes on with the sum of the others, which is exact."""
    agents, results = stage_of(tmp_path, monkeypatch, silos=4).play(OmitsAcknowledged)
    assert codes(results) == {"ok"}
    assert [incidents(agent) for agent in agents] == [[], [], [], ["round.omitted"]]


def test_attack_omitted_upload_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody ever knows."""
    monkeypatch.setattr(RoundRecords, "incident", lambda *_: None)
    agents, results = stage_of(tmp_path, monkeypatch, silos=4).play(OmitsAcknowledged)
    assert codes(results) == {"ok"}
    assert [incidents(agent) for agent in agents] == [[]] * 4


class ChangesSurvivors(HidesRejects):
    """Shows a second list, without the victim and with its right sum, once a silo has signed the first."""

    signed: ClassVar[set[bytes]] = set()

    def shown(self, request: AwaitRequest, board: Board) -> Board:
        state = self._course.states[1]
        if request.phase != Phase.SURVIVORS or not isinstance(state, Published) or not state.signs:
            return board
        shown = bodies.open_signed(board.messages[0], Survivors, self._publication.key.public_key().public_bytes_raw())
        kept = tuple(member for member in shown.members if member[0] != VICTIM)
        digests = folding.fold(self._params, shown.sum_frame_bytes, [index for index, _ in kept], self._store.round(1))
        second = replace(shown, members=kept, sum_frame_sha256=digests)
        message = bodies.seal(second, self._study.roster.aggregator.name, self._publication.key)
        # The victim has the last index: its header and seeds are the last.
        return replace(board, messages=(message, *board.messages[1 : 1 + len(kept)]), seeds=board.seeds[: len(kept)])

    def keeps_back(self, index: int, public_key: bytes, message: Signed) -> bool:
        if message.kind != bodies.kind_of(Sign):
            return super().keeps_back(index, public_key, message)
        type(self).signed.add(bodies.open_signed(message, Sign, public_key).survivors_hash)
        return len(type(self).signed) > 1


class Killed(Exception):
    """The silo's process is gone."""


def killed(*_: object) -> NoReturn:
    raise Killed


def dies_after_signing(agent: Agent) -> None:
    """Silo 1 is killed as soon as its Sign was taken, the others when their uploads were."""
    submit = agent.client.submit

    def last(message: Signed) -> None:
        submit(message)
        if message.kind == bodies.kind_of(Sign):
            raise Killed

    agent.client.submit = last  # type: ignore[method-assign]
    if agent._index != 1:
        agent.client.sum_frames = killed  # type: ignore[method-assign]


def stopped_after_signing(stage: Stage) -> Agent:
    """Silo 1 signed the first list and stopped. What it drew for the audit, which binds it to a list too, is gone."""
    ChangesSurvivors.signed.clear()
    agents, results = stage.play(ChangesSurvivors, dies_after_signing)
    assert codes(results) == {"Killed"}
    assert len(ChangesSurvivors.signed) == 1
    agents[0].folder.audit_file.unlink()
    return agents[0]


def test_attack_survivors_changed_after_sign_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started again, the silo is shown a list that is in order, but is not the one that it signed."""
    stage = stage_of(tmp_path, monkeypatch, silos=4)
    stopped_after_signing(stage)
    _, results = stage.play(ChangesSurvivors, dies_after_signing, silos=(1,))
    assert codes(results) == {REFUSED}
    assert len(ChangesSurvivors.signed) == 1


def test_attack_survivors_changed_after_sign_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silo that does not look into its ledger signs both, and would reveal shares for both."""
    stage = stage_of(tmp_path, monkeypatch, silos=4)
    stopped_after_signing(stage)
    honest = RoundRecords.of

    def forgetful(records: RoundRecords, kind: str, number: int) -> object:
        return () if kind == "survivors_signed" else honest(records, kind, number)

    monkeypatch.setattr(RoundRecords, "of", forgetful)
    agents, results = stage.play(ChangesSurvivors, dies_after_signing, silos=(1,))
    assert codes(results) == {"Killed"}
    assert len(ChangesSurvivors.signed) == 2
    assert kinds(agents[0]).count("survivors_signed") == 2

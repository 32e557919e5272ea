"""Attack 12: a silo that is merely slow is declared dropped; its pair masks are revealed; then its upload arrives.

The aggregator colludes with one silo, which has the keys of the study and sees all revealed shares. What is left on the
late upload is the mask from the silo's own b, of which no share is revealed for a silo that dropped out.
"""

from pathlib import Path

import numpy as np
import pytest

from aggregator.rounds.arriving import Arriving
from privacy.channel.envelope import Signed
from privacy.digest import protocol_hash
from privacy.errors import ProtocolError
from privacy.secagg.masks import MaskKeys
from privacy.secagg.round_keys import upload_keys
from privacy.wire import bodies
from privacy.wire.messages import Survivors
from privacy.wire.requests import Phase
from silo_node.rounds.agent import Agent
from silo_node.rounds.sending import Sending
from silo_node.rounds.stored_upload import StoredUpload
from tests.attacks.coalition import Coalition, Memory
from tests.attacks.stage import DeclaresDropped, Stage, codes, stage_of

SLOW, COLLUDER = 4, 1


class TakesLate(DeclaresDropped):
    """Keeps what comes too late, as a real aggregator would not."""

    def begin_upload(self, peer: str, message: Signed) -> Arriving:
        try:
            return super().begin_upload(peer, message)
        except ProtocolError:
            _, public_key = self._member(peer, message)
            return self._arrivals.begin(self._arrivals.opened(message, public_key))

    def finish_upload(self, arriving: Arriving) -> None:
        header = arriving.upload.header
        if header.silo_index == SLOW and header.round_number == 1:
            arriving.commit()
        else:
            super().finish_upload(arriving)


class Dawdling(Sending):
    """Sends only when the others have signed the list without it."""

    def send(self, upload: StoredUpload, number: int, started: float) -> int:
        if number == 1:
            self.client.wait(1, Phase.UNMASKED)
        return super().send(upload, number, started)


def dawdle(agent: Agent) -> None:
    """The slow silo is late."""
    if agent._index == SLOW:
        agent._sending = Dawdling(**vars(agent._sending))


def stolen(stage: Stage, colluder: Agent) -> np.ndarray | None:
    """The slow silo's update from its late upload, with what the aggregator and the colluder have, or None: noise."""
    coalition = Coalition(stage, colluder)
    listed = coalition.store.get("survivors")
    assert listed is not None
    survivors = bodies.open_signed(listed, Survivors, bytes.fromhex(coalition.study.roster.aggregator.identity))
    members = tuple(index for index, _ in survivors.members)
    assert SLOW not in members
    messages = [message for _, message in coalition.store.all("unmask")]
    left = coalition.recovered(members, protocol_hash("survivors", listed.body), messages)
    assert left is not None
    # What remains in the sum for the dropped silo are its pairs' masks; its own upload has them with the other sign.
    return coalition.update(SLOW, MaskKeys((), left.plus[len(members) :]))


def without_self(*given: object) -> MaskKeys:
    """Off: no mask from the silo's own b."""
    keys = upload_keys(*given)  # type: ignore[arg-type]
    return MaskKeys(keys.plus[1:], keys.minus)


def test_attack_late_upload_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the aggregator kept is noise, and the round is the sum of the others."""
    stage = stage_of(tmp_path, monkeypatch, silos=4)
    Memory.kept(monkeypatch)
    agents, results = stage.play(TakesLate, dawdle)
    assert codes(results) == {"ok"}
    assert stolen(stage, agents[COLLUDER - 1]) is None


def test_attack_late_upload_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the mask from its own b, the slow silo's update lies open."""
    stage = stage_of(tmp_path, monkeypatch, silos=4)
    Memory.kept(monkeypatch)
    monkeypatch.setattr("silo_node.rounds.key_exchange.upload_keys", without_self)
    agents, _ = stage.play(TakesLate, dawdle)
    found = stolen(stage, agents[COLLUDER - 1])
    assert found is not None
    np.testing.assert_allclose(found, agents[SLOW - 1].learner.update(1), atol=1e-3)  # type: ignore[attr-defined]


def test_an_honest_aggregator_keeps_no_late_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of(tmp_path, monkeypatch, silos=4)
    _, results = stage.play(DeclaresDropped, dawdle)
    assert codes(results) == {"ok"}
    assert SLOW not in dict(stage.store(1).uploads())

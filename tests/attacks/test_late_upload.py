"""Attack 12: a silo that is merely slow is declared dropped; its pair masks are revealed; then its upload arrives.

The aggregator colludes with one silo, which has the keys of the study and sees all revealed shares. What is left on the
late upload is the mask from the silo's own b, of which no share is revealed for a silo that dropped out.
"""

from pathlib import Path

import numpy as np
import pytest

from aggregator.store import Incoming, RoundStore
from privacy.channel.envelope import Signed
from privacy.digest import protocol_hash
from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.secagg import advertise, masks, share_set, unmask
from privacy.secagg.masks import MaskKeys
from privacy.secagg.place import Place
from privacy.secagg.ranges import Ranges
from privacy.secagg.round_keys import upload_keys
from privacy.study import Study
from privacy.wire import bodies
from privacy.wire.messages import Phase, Survivors, UploadHeader
from silo_node.agent import Agent
from silo_node.stored_upload import StoredUpload
from tests.attacks.stage import DeclaresDropped, Stage, codes, stage_of

SLOW, COLLUDER = 4, 1


class TakesLate(DeclaresDropped):
    """Keeps what comes too late, as a real aggregator would not."""

    def begin_upload(self, peer: str, message: Signed) -> tuple[UploadHeader, Incoming]:
        try:
            return super().begin_upload(peer, message)
        except ProtocolError:
            index, public_key = self._member(peer, message)
            header = bodies.open_signed(message, UploadHeader, public_key)
            return header, self._store.round(header.round_number).incoming(index)

    def finish_upload(self, message: Signed, header: UploadHeader, incoming: Incoming) -> None:
        if header.silo_index == SLOW and header.round_number == 1:
            incoming.commit()
        else:
            super().finish_upload(message, header, incoming)


def dawdle(agent: Agent) -> None:
    """The slow silo sends only when the others have signed the list without it."""
    send = agent._send

    def late(upload: StoredUpload, number: int, started: float) -> int:
        if number == 1:
            agent.client.wait(1, Phase.UNMASKED)
        return send(upload, number, started)

    if agent._index == SLOW:
        agent._send = late  # type: ignore[method-assign]


def stolen(stage: Stage, colluder: Agent) -> np.ndarray | None:
    """The slow silo's update from its late upload, with what the aggregator and the colluder have, or None: noise."""
    store, params, study = stage.store(1), colluder._params, colluder.study
    headers = dict(store.uploads())
    header = bodies.open_signed(headers[SLOW], UploadHeader, _key(study, SLOW))
    place = Place(study.roster, header.ctx, 1, COLLUDER)
    advertised = advertise.check(place, tuple(m for _, m in sorted(store.all("advertise"))), None)
    shared = share_set.check(place, tuple(m for _, m in sorted(store.all("shares"))), advertised, None)
    listed = store.get("survivors")
    assert listed is not None
    survivors = bodies.open_signed(listed, Survivors, bytes.fromhex(study.roster.aggregator.identity))
    members = tuple(index for index, _ in survivors.members)
    assert SLOW not in members
    recovered = unmask.recover(
        place,
        colluder._material.group_secret,
        shared,
        members,
        protocol_hash("survivors", listed.body),
        tuple(message for _, message in sorted(store.all("unmask"))),
    )
    # What remains in the sum for the dropped silo are its pairs' masks; its own upload has them with the other sign.
    pairs = recovered.keys.plus[len(members) :]
    count = sum(header.frame_bytes) // params.ciphertext_bytes
    words = frames.decode(store.frame(SLOW, 0), count, params)
    masks.add(words, MaskKeys(pairs), params, 0)
    try:
        opened = colluder._keyholder.open_words(lambda _: words, [store.seeds(SLOW)], colluder._layout.length)
    except ProtocolError:
        return None
    layout = colluder._layout
    quantiser = Ranges.first(len(layout.tensors)).quantiser(colluder._bound, layout.sizes, study.encryption.bits)
    return quantiser.decode_sum(opened[layout.model], 1)


def _key(study: Study, index: int) -> bytes:
    return bytes.fromhex(study.roster.silos[index - 1].identity)


def test_attack_late_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of(tmp_path, monkeypatch, silos=4)
    monkeypatch.setattr(RoundStore, "scrub", lambda _: None)  # a dishonest aggregator forgets nothing
    # On: what the aggregator kept is noise, and the round is the sum of the others.
    agents, results = stage.at(tmp_path / "on").play(TakesLate, dawdle)
    assert codes(results) == {"ok"}
    assert stolen(stage, agents[COLLUDER - 1]) is None

    # Off: without the mask from its own b, the slow silo's update lies open.
    def without_self(*given: object) -> MaskKeys:
        keys = upload_keys(*given)  # type: ignore[arg-type]
        return MaskKeys(keys.plus[1:], keys.minus)

    monkeypatch.setattr("silo_node.key_exchange.upload_keys", without_self)
    agents, _ = stage.at(tmp_path / "off").play(TakesLate, dawdle)
    found = stolen(stage, agents[COLLUDER - 1])
    assert found is not None
    np.testing.assert_allclose(found, agents[SLOW - 1].learner.update(1), atol=1e-3)  # type: ignore[attr-defined]


def test_an_honest_aggregator_keeps_no_late_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of(tmp_path, monkeypatch, silos=4)
    _, results = stage.play(DeclaresDropped, dawdle)
    assert codes(results) == {"ok"}
    assert SLOW not in dict(stage.store(1).uploads())

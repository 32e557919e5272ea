"""Attack 8: a silo, which knows the MAC's key, helps the aggregator to an altered sum whose MAC is right.

The MAC alone does not stop it. The spot audit does when all frames are altered; for one frame of many, the rate at
which it is found is measured here and stated. Against running silos, whose sum is one frame, and for six frames of
values.
"""

import hashlib
from collections.abc import Sequence
from math import comb
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from aggregator.rounds import fold as folding
from aggregator.rounds.states import Folding
from aggregator.storage.store import RoundStore
from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.he.params import CiphertextParams
from privacy.randomness import SecureStream
from privacy.secagg import audit, prg
from privacy.secagg.derive import derive, group_key
from privacy.study import Encryption
from privacy.wire.requests import FrameRequest
from silo_node.rounds.agent import Agent
from tests.attacks.stage import HidesRejects, Result, Stage, codes, stage_of
from tests.secure_round import Cast, Round, Words, same

SURVIVORS = (1, 2, 3)
FRAMES, AUDITED = 6, 2


def beside_the_mac(key: bytes, params: CiphertextParams) -> list[int]:
    """A vector that both rho_1 and rho_2 are orthogonal to: their cross product, in the first three places."""
    prime = params.primes[0]
    one, two = (
        prg.residues(derive(key, b"", "rho", copy), params.primes, params.degree)[0, 0, :3].tolist() for copy in (1, 2)
    )
    return [(one[i - 2] * two[i - 1] - one[i - 1] * two[i - 2]) % prime for i in range(3)]


class AltersWithASilo(HidesRejects):
    """Adds to the sum what a colluding silo, which knows the MAC's key, computed; a test makes a subclass."""

    colluder: ClassVar[list[Agent]]

    def _publish(self, number: int, state: Folding) -> None:
        group = self.colluder[0]._material.group_secret
        header = next(iter(state.uploads.values())).header
        delta = beside_the_mac(group_key(group, header.ctx, "mac"), self._params)

        def fold(params: CiphertextParams, sizes: Sequence[int], silos: Sequence[int], store: RoundStore) -> object:
            folding.fold(params, sizes, silos, store)
            words = frames.decode(store.sum_frame(0), sizes[0] // params.ciphertext_bytes, params)
            for place, value in enumerate(delta):
                words[0, 0, place] = (int(words[0, 0, place]) + value) % params.primes[0]
            store.put_sum(0, frames.encode(words, params))
            return (frames.digest(store.sum_frame(0)),)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("aggregator.rounds.publication.fold", fold)
            super()._publish(number, state)


class Withholds(AltersWithASilo):
    """And does not serve the frames that would show it."""

    def upload_frame(self, request: FrameRequest) -> bytes:
        raise ProtocolError("there is no such frame in the sum of this round", code="sum.no_frame")


def colluded(stage: Stage, hub: type[AltersWithASilo]) -> tuple[list[Result], list[str]]:
    """How silos ended, and how often a keyholder was asked for the altered sum."""
    agents: list[Agent] = []
    asked = stage.openings()
    _, results = stage.play(type("With", (hub,), {"colluder": agents}), agents.append)
    return results, asked


@pytest.mark.parametrize("hub", [AltersWithASilo, Withholds])
def test_attack_colluding_silo_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: type[AltersWithASilo]) -> None:
    """The audit finds it, also if the audited frames are not served: nothing is opened and the study halts."""
    results, asked = colluded(stage_of(tmp_path, monkeypatch), hub)
    assert codes(results) == {"sum.refused"}
    assert asked == []


def test_attack_colluding_silo_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The MAC is right: without the audit every keyholder opens the altered sum."""
    monkeypatch.setattr("privacy.secagg.survivors.audit.check", lambda *_: None)
    _, asked = colluded(stage_of(tmp_path, monkeypatch), AltersWithASilo)
    assert len(asked) >= 3


class Colluded:
    """Three uploads of six frames, and altered sums that fit the MAC."""

    def __init__(self) -> None:
        params = CiphertextParams.for_study(Encryption(), 3)
        length = params.values_per_ciphertext * params.ciphertexts_per_frame * FRAMES
        self.run = Round(Cast(3), params, length).until_uploads()
        self.honest = self.run.masked_sum(SURVIVORS)
        self.one_frame = self.altered({4})
        self.all_frames = self.altered(set(range(FRAMES)))

    def altered(self, places: set[int]) -> Words:
        """The honest sum with what passes the MAC added to frames."""
        run = self.run
        prime = run.params.primes[0]
        cross = beside_the_mac(group_key(run.cast.group_secret, run.ctx, "mac"), run.params)
        found = [frame.copy() for frame in self.honest]
        for place in places:
            for position, delta in enumerate(cross):
                found[place][0, 0, position] = (int(found[place][0, 0, position]) + delta) % prime
        return found

    def finds(self, words: Words, index: int) -> bool:
        """Whether the audit of one frame refuses this sum."""
        uploads = {silo: frames.encode(self.run.masked[silo][index], self.run.params) for silo in SURVIVORS}
        promised = {silo: hashlib.sha256(frame).digest() for silo, frame in uploads.items()}
        served = frames.encode(words[index], self.run.params)
        try:
            audit.check(index, uploads, promised, served, self.run.params, self.run.length)
        except ProtocolError as error:
            return error.code == "sum.refused"
        return False


@pytest.fixture(scope="module")
def world() -> Colluded:
    return Colluded()


def test_attack_colluding_silo_in_all_frames_of_values_off(world: Colluded) -> None:
    """Off (no audit): an altered sum is accepted, and what is opened is not the sum."""
    recovered = world.run.recover(world.run.unmask(SURVIVORS, SURVIVORS), SURVIVORS)
    for altered in (world.one_frame, world.all_frames):
        world.run.verify(altered, SURVIVORS)
        assert not same(world.run.opened(altered, recovered), world.run.plain_sum(SURVIVORS))


def test_attack_colluding_silo_in_all_frames_of_values_on(world: Colluded) -> None:
    assert all(world.finds(world.all_frames, index) for index in range(FRAMES))
    assert not any(world.finds(world.honest, index) for index in range(FRAMES))


def test_attack_colluding_silo_in_one_frame_is_found_at_the_stated_rate(world: Colluded) -> None:
    found = {index for index in range(FRAMES) if world.finds(world.one_frame, index)}
    assert found == {4}
    trials, stream = 3000, SecureStream()
    hits = sum(not found.isdisjoint(audit.choose(FRAMES, AUDITED, stream)) for _ in range(trials))
    rate = 1 - comb(FRAMES - 1, AUDITED) / comb(FRAMES, AUDITED)
    assert rate == pytest.approx(AUDITED / FRAMES)
    assert abs(hits / trials - rate) < 5 * np.sqrt(rate * (1 - rate) / trials)


def test_the_aggregator_alone_cannot_make_it(world: Colluded) -> None:
    """Without the key the same alteration, made for a guessed key, is refused by the MAC itself."""
    outsider = Colluded.__new__(Colluded)
    outsider.run, outsider.honest = world.run, world.honest
    secret = world.run.cast.group_secret
    try:
        world.run.cast.group_secret = bytes(32)
        guessed = outsider.altered({4})
    finally:
        world.run.cast.group_secret = secret
    with pytest.raises(ProtocolError) as caught:
        world.run.verify(guessed, SURVIVORS)
    assert caught.value.code == "sum.refused"

"""Attack 8: a silo, which knows the MAC's key, helps the aggregator to an altered sum whose MAC is right.

The MAC alone does not stop it. The spot audit does when all frames are altered; for one frame of many, the rate at
which it is found is measured here and stated.
"""

import hashlib
from math import comb

import numpy as np
import pytest

from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.he.params import CiphertextParams
from privacy.randomness import SecureStream
from privacy.secagg import audit, prg
from privacy.secagg.derive import derive, group_key
from privacy.study import Encryption
from tests.secure_round import Cast, Round, Words, same

SURVIVORS = (1, 2, 3)
FRAMES, AUDITED = 6, 2


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
        """Add to frames a vector that both rho_1 and rho_2 are orthogonal to: their cross product, in three places."""
        run = self.run
        key = group_key(run.cast.group_secret, run.ctx, "mac")
        prime = run.params.primes[0]
        one, two = (
            prg.residues(derive(key, b"", "rho", copy), run.params.primes, run.params.degree)[0, 0, :3].tolist()
            for copy in (1, 2)
        )
        cross = [(one[i - 2] * two[i - 1] - one[i - 1] * two[i - 2]) % prime for i in range(3)]
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


def test_the_mac_alone_does_not_stop_a_silo(world: Colluded) -> None:
    """Off (no audit): an altered sum is accepted, and what is opened is not the sum."""
    recovered = world.run.recover(world.run.unmask(SURVIVORS, SURVIVORS), SURVIVORS)
    for altered in (world.one_frame, world.all_frames):
        world.run.verify(altered, SURVIVORS)
        assert not same(world.run.opened(altered, recovered), world.run.plain_sum(SURVIVORS))


def test_attack_colluding_silo_in_all_frames(world: Colluded) -> None:
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

"""Audited frames are chosen uniformly and must add up, frame by frame, to the served sum."""

import hashlib
from itertools import combinations

import numpy as np
import pytest

from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.randomness import SecureStream
from privacy.secagg import audit, prg
from tests.secure_round import tiny_params

PARAMS = tiny_params(3)
LENGTH = PARAMS.values_per_ciphertext * 2


class Frames:
    """The only frame of three uploads, their digests and their sum."""

    def __init__(self) -> None:
        words = {silo: prg.residues(bytes([silo]) * 32, PARAMS.primes, PARAMS.degree, 0, 2) for silo in (1, 2, 3)}
        self.uploaded = {silo: frames.encode(word, PARAMS) for silo, word in words.items()}
        self.promised = {silo: hashlib.sha256(frame).digest() for silo, frame in self.uploaded.items()}
        total = sum(words.values()) % frames.moduli(PARAMS)
        self.sum = frames.encode(np.asarray(total, np.uint64), PARAMS)


@pytest.fixture(scope="module")
def honest() -> Frames:
    return Frames()


def test_honest_frames_add_up(honest: Frames) -> None:
    audit.check(0, honest.uploaded, honest.promised, honest.sum, PARAMS, LENGTH)


def test_everything_else_is_refused_with_one_code(honest: Frames) -> None:
    one = honest.uploaded[1]
    damaged = bytes([one[0] ^ 1]) + one[1:]
    cases = [
        (0, {**honest.uploaded, 1: damaged}, honest.promised, honest.sum),
        (0, {**honest.uploaded, 1: honest.uploaded[2]}, honest.promised, honest.sum),
        (0, {1: one, 2: honest.uploaded[2]}, honest.promised, honest.sum),
        (0, honest.uploaded, honest.promised, one),
        (0, honest.uploaded, honest.promised, honest.sum[:-1]),
        (1, honest.uploaded, honest.promised, honest.sum),
        (0, {**honest.uploaded, 1: b""}, {**honest.promised, 1: hashlib.sha256(b"").digest()}, honest.sum),
    ]
    for index, uploaded, promised, served in cases:
        with pytest.raises(ProtocolError) as caught:
            audit.check(index, uploaded, promised, served, PARAMS, LENGTH)
        assert caught.value.code == "sum.refused"


def test_choices_are_uniform() -> None:
    stream, trials = SecureStream(), 6000
    found = dict.fromkeys(combinations(range(4), 2), 0)
    for _ in range(trials):
        chosen = audit.choose(4, 2, stream)
        assert len(chosen) == 2
        found[chosen[0], chosen[1]] += 1
    expected = trials / len(found)
    assert sum((count - expected) ** 2 / expected for count in found.values()) < 35.0  # chi-squared of 5: 1e-6


def test_choices_at_the_edges() -> None:
    stream = SecureStream()
    assert audit.choose(3, 5, stream) == (0, 1, 2)
    assert audit.choose(1, 1, stream) == (0,)
    for frame_count, audited in ((0, 1), (3, 0)):
        with pytest.raises(ValueError, match="at least one"):
            audit.choose(frame_count, audited, stream)

"""The adder adds modulo the prime, exactly as often as it was told, and refuses half a sum."""

import subprocess
import sys

import numpy as np
import pytest

from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.he.adder import Adder
from privacy.he.params import PRIMES, CiphertextParams

PARAMS = CiphertextParams(4096, PRIMES[4096, 48], 16, 3)
LENGTH = (PARAMS.ciphertexts_per_frame + 2) * PARAMS.values_per_ciphertext


def upload(seed: int) -> tuple[list[np.ndarray], list[bytes]]:
    generator = np.random.default_rng(seed)
    words = [
        generator.integers(0, PARAMS.modulus, (count, 1, 4096), dtype=np.uint64)
        for count in PARAMS.frame_ciphertexts(LENGTH)
    ]
    words[0][0, 0, :2] = PARAMS.modulus - 1, 0
    return words, [frames.encode(part, PARAMS) for part in words]


def test_the_sum_is_the_sum_modulo_the_prime() -> None:
    uploads = [upload(seed) for seed in range(3)]
    adder = Adder(PARAMS, LENGTH)
    for _, packed in uploads:
        for index, frame in enumerate(packed):
            adder.add(index, frame)
    for index, frame in enumerate(adder.sum_frames()):
        expected = sum(words[index].astype(object) for words, _ in uploads) % PARAMS.modulus
        assert frame == frames.encode(expected.astype(np.uint64), PARAMS)
    assert [len(frame) for frame in adder.sum_frames()] == list(PARAMS.frame_sizes(LENGTH))


def test_order_does_not_matter() -> None:
    uploads = [upload(seed)[1] for seed in range(2)]
    forward, backward = Adder(PARAMS, LENGTH), Adder(PARAMS, LENGTH)
    for packed in uploads:
        for index, frame in enumerate(packed):
            forward.add(index, frame)
    for index in (1, 0):
        for packed in reversed(uploads):
            backward.add(index, packed[index])
    assert list(forward.sum_frames()) == list(backward.sum_frames())


def test_a_refused_frame_changes_nothing_and_half_an_upload_gives_no_sum() -> None:
    _, packed = upload(1)
    adder = Adder(PARAMS, LENGTH)
    with pytest.raises(RuntimeError, match="not complete"):
        adder.sum_frames()
    for index, frame in enumerate(packed):
        adder.add(index, frame)
    before = list(adder.sum_frames())
    with pytest.raises(ProtocolError):
        adder.add(0, packed[1])
    with pytest.raises(ProtocolError):
        adder.add(2, packed[1])
    with pytest.raises(ProtocolError):
        adder.add(1, b"\xff" * len(packed[1]))
    assert list(adder.sum_frames()) == before
    adder.add(0, packed[0])
    with pytest.raises(RuntimeError, match="not complete"):
        adder.sum_frames()


def test_no_more_uploads_than_the_sum_is_exact_for() -> None:
    _, packed = upload(1)
    adder = Adder(PARAMS, LENGTH)
    for _ in range(PARAMS.silos):
        adder.add(0, packed[0])
    with pytest.raises(RuntimeError, match="more uploads"):
        adder.add(0, packed[0])


def test_the_aggregators_part_needs_no_he_library() -> None:
    program = (
        "import sys\n"
        "for name in ('tenseal', 'torch', 'zstandard'): sys.modules[name] = None\n"
        "import privacy.he.adder, privacy.he.frames, privacy.he.params\n"
        "assert not {'privacy.he.ring', 'privacy.he.seal', 'privacy.he.keyholder'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

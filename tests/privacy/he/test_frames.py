"""Words survive the wire exactly, and nothing malformed is decoded."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.he.params import PRIMES, CiphertextParams

SMALL = {bits: CiphertextParams(4096, PRIMES[4096, bits], 16, 3) for bits in (48, 50)}


def random_words(params: CiphertextParams, count: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, params.modulus, (count, 1, params.degree), dtype=np.uint64)


@given(st.sampled_from([48, 50]), st.integers(1, 4), st.integers(0, 2**32))
def test_words_come_back(bits: int, count: int, seed: int) -> None:
    params = SMALL[bits]
    words = random_words(params, count, seed)
    words[0, 0, :3] = [0, params.modulus - 1, 2**48 - 20_000]
    frame = frames.encode(words, params)
    assert len(frame) == count * 4096 * bits // 8
    assert np.array_equal(frames.decode(frame, count, params), words)


def test_the_form_on_the_wire_is_fixed() -> None:
    for bits, digest in (
        (48, "637e1d0a526ca4bd75463565973154e0d86dba5549b070462b2b2c700b940bd5"),
        (50, "fc8ed8cb1d88cf09d03213c4b4842c2f4d5907d11341ffef3b7141609bf28eb5"),
    ):
        params = SMALL[bits]
        words = np.arange(4096, dtype=np.uint64)[None, None] * np.uint64(2**36 + 12345) % np.uint64(params.modulus)
        assert hashlib.sha256(frames.encode(words, params)).hexdigest() == digest


def test_first_word_of_48_bits_by_hand() -> None:
    words = np.zeros((1, 1, 4096), np.uint64)
    words[0, 0, 0] = 0x8899AABBCCDD
    frame = frames.encode(words, SMALL[48])
    assert frame[:4] == bytes.fromhex("ddccbbaa")
    assert frame[4 * 4096 : 4 * 4096 + 2] == bytes.fromhex("9988")


@pytest.mark.parametrize("bits", [48, 50])
@pytest.mark.parametrize("change", [-1, 1, 24_576])
def test_another_length_is_refused(bits: int, change: int) -> None:
    params = SMALL[bits]
    frame = frames.encode(random_words(params, 2, 1), params)
    changed = (frame + bytes(24_576))[: len(frame) + change]
    with pytest.raises(ProtocolError) as caught:
        frames.decode(changed, 2, params)
    assert caught.value.code == "protocol.frame_length"


@pytest.mark.parametrize("bits", [48, 50])
@pytest.mark.parametrize("position", [0, 4095])
@pytest.mark.parametrize("excess", [0, 1])
def test_a_word_outside_the_modulus_is_refused(bits: int, position: int, excess: int) -> None:
    params = SMALL[bits]
    words = random_words(params, 2, 2)
    words[1, 0, position] = params.modulus + excess
    with pytest.raises(ProtocolError) as caught:
        frames.decode(frames.encode(words, params), 2, params)
    assert caught.value.code == "protocol.frame_range"


def test_frames_are_checked_by_their_place_in_the_upload() -> None:
    params = SMALL[48]
    length = (params.ciphertexts_per_frame + 1) * params.values_per_ciphertext
    last = frames.encode(random_words(params, 1, 3), params)
    frames.check(last, 1, length, params)
    with pytest.raises(ProtocolError) as caught:
        frames.check(last, 0, length, params)
    assert caught.value.code == "protocol.frame_length"
    for index in (-1, 2):
        with pytest.raises(ProtocolError) as caught:
            frames.check(last, index, length, params)
        assert caught.value.code == "protocol.frame_index"


def test_seeds_have_one_length() -> None:
    params = SMALL[48]
    frames.check_seeds(bytes(2 * 64), 8193, params)
    for wrong in (64, 127, 129, 0):
        with pytest.raises(ProtocolError) as caught:
            frames.check_seeds(bytes(wrong), 8193, params)
        assert caught.value.code == "protocol.seed_length"


def test_digest_is_sha256() -> None:
    assert frames.digest(b"abc") == hashlib.sha256(b"abc").digest()


def test_only_words_are_encoded() -> None:
    for wrong in (np.zeros((1, 1, 4096), np.int64), np.zeros((1, 4096), np.uint64), np.zeros((1, 2, 4096), np.uint64)):
        with pytest.raises(ValueError, match="words must be"):
            frames.encode(wrong, SMALL[48])  # type: ignore[arg-type]

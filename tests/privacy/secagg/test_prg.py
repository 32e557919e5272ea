"""Residues are those the protocol describes, uniform below each prime, the same wherever a reader starts."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.secagg import prg

KEY = bytes(range(32))
REJECTING = (561850441793537, 562949953421381, 281474976694273)
"""Just above 2^49 (half of all words are redrawn), and the small ring's prime."""


def keystream(counter: int, count: int) -> bytes:
    cipher = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor()
    return b"".join(cipher.update((counter + block).to_bytes(16, "big")) for block in range(count))


def plainly(primes: tuple[int, ...], length: int, block: int) -> list[list[int]]:
    """The definition, word for word, from AES alone."""
    found = []
    for place, prime in enumerate(primes):
        index = block * len(primes) + place
        cut = (1 << prime.bit_length()) - 1
        stream = keystream(8 * length * index // 16, length // 2 + 2)[8 * length * index % 16 :]
        redraws = keystream((1 << 64) + (index << 32), 8 * length)
        row, position = [], 0
        for word in range(length):
            value = int.from_bytes(stream[8 * word : 8 * word + 8], "little") & cut
            while value >= prime:
                value = int.from_bytes(redraws[8 * position : 8 * position + 8], "little") & cut
                position += 1
            row.append(value)
        found.append(row)
    return found


@given(length=st.integers(1, 40), first=st.integers(0, 50), count=st.integers(1, 3))
@settings(max_examples=30)
def test_is_the_protocols_definition_at_any_position(length: int, first: int, count: int) -> None:
    drawn = prg.residues(KEY, REJECTING, length, first, count)
    assert drawn.dtype == np.uint64
    assert drawn.tolist() == [plainly(REJECTING, length, first + block) for block in range(count)]


def test_random_access_is_the_whole() -> None:
    whole = prg.residues(KEY, REJECTING, 24, 0, 9)
    for first in range(9):
        assert np.array_equal(prg.residues(KEY, REJECTING, 24, first, 9 - first), whole[first:])


def test_is_uniform_below_the_prime() -> None:
    """Without redrawing, words modulo a prime near 2^49 would fall below 2^49 / 8 twice as often as above it."""
    words = prg.residues(KEY, REJECTING[:1], 1 << 18)[0, 0]
    assert int(words.max()) < REJECTING[0]
    counts = np.bincount((words // np.uint64(REJECTING[0] // 16 + 1)).astype(np.int64), minlength=16)
    expected = (1 << 18) / 16
    assert float(((counts - expected) ** 2 / expected).sum()) < 50.0  # chi-squared of 15 degrees: 1e-5
    low_bits = np.bincount((words & np.uint64(15)).astype(np.int64), minlength=16)
    assert float(((low_bits - expected) ** 2 / expected).sum()) < 50.0


def test_keys_give_unrelated_words() -> None:
    one, other = (prg.residues(key, REJECTING, 64) for key in (KEY, bytes(32)))
    assert not (one == other).any()


@pytest.mark.parametrize(("key", "length", "first"), [(bytes(31), 8, 0), (KEY, 0, 0), (KEY, 8, -1)])
def test_refuses_what_is_no_position_or_key(key: bytes, length: int, first: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        prg.residues(key, REJECTING, length, first)

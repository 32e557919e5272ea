"""The PRG of the protocol: uniform residues modulo each prime from a 32-byte key, at any position.

AES-256-CTR of the key, cut into words of the prime's bit length; words that are not below the prime are
redrawn in index order (protocol section 3), so that residues are uniform and not merely nearly so. All
parties get the same residues wherever they start. A *row* is the words of one prime in one block (for
masks: of one ciphertext). Counters: row `n` begins at byte `8 n length` of the key stream, its redraws at
counter 2^64 + n 2^32. The two regions never meet, and a word is used for one row only.

A key is for one purpose: derive it (`privacy.secagg.derive`), use it here and nowhere else.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

from privacy.secagg.derive import KEY_BYTES

WORD_BYTES, COUNTER_BYTES = 8, 16
REDRAWS, REDRAW_STRIDE = 1 << 64, 1 << 32
REDRAW_BATCH = 16

Words = NDArray[np.uint64]


def rows(key: bytes, primes: Sequence[int], length: int, first: int, count: int) -> Iterator[Words]:
    """The rows of blocks `first` to `first + count - 1`, prime by prime in each block.

    Args:
        key: 32 bytes.
        primes: the moduli; each takes one row of a block.
        length: words in a row.
        first: index of the first block, from 0.
        count: blocks.

    Returns:
        An iterator of `count * len(primes)` rows, uint64 (length,): one array that the next row overwrites.

    Raises:
        ValueError: the key is not 32 bytes, or a position is negative.
    """
    if len(key) != KEY_BYTES or first < 0 or length < 1:
        raise ValueError("residues are drawn with a key of 32 bytes, from a position that exists")
    return _rows(key, primes, length, first, count)


def residues(key: bytes, primes: Sequence[int], length: int, first: int = 0, count: int = 1) -> Words:
    """The residues of blocks `first` to `first + count - 1`: uint64, shape (count, primes, length).

    Raises:
        ValueError: as `rows`.
    """
    drawn_rows = rows(key, primes, length, first, count)
    drawn = np.empty((count, len(primes), length), np.uint64)
    for target, row in zip(drawn.reshape(-1, length), drawn_rows, strict=True):
        target[:] = row
    return drawn


def _rows(key: bytes, primes: Sequence[int], length: int, first: int, count: int) -> Iterator[Words]:
    block, skip = divmod(WORD_BYTES * length * len(primes) * first, COUNTER_BYTES)
    stream = _stream(key, block)
    stream.update(bytes(skip))
    raw = bytearray(WORD_BYTES * length)
    row: Words = np.frombuffer(raw, "<u8")
    zeros = bytes(len(raw))
    bounds = [(np.uint64(prime), np.uint64((1 << prime.bit_length()) - 1)) for prime in primes]
    for index in range(first * len(primes), (first + count) * len(primes)):
        prime, cut = bounds[index % len(primes)]
        stream.update_into(zeros, raw)
        np.bitwise_and(row, cut, out=row)
        if row.max() >= prime:
            _redraw(row, prime, cut, _stream(key, REDRAWS + index * REDRAW_STRIDE))
        yield row


def _redraw(row: Words, prime: np.uint64, cut: np.uint64, stream: CipherContext) -> None:
    """Replace what is not below the prime, in index order, by the next words of `stream` that are."""
    places = np.flatnonzero(row >= prime)
    drawn = np.empty(0, np.uint64)
    while drawn.size < places.size:
        batch = np.frombuffer(stream.update(bytes(WORD_BYTES * (REDRAW_BATCH + places.size))), "<u8") & cut
        drawn = np.concatenate([drawn, batch[batch < prime]])
    row[places] = drawn[: places.size]


def _stream(key: bytes, counter: int) -> CipherContext:
    return Cipher(algorithms.AES(key), modes.CTR(counter.to_bytes(COUNTER_BYTES, "big"))).encryptor()

"""Ciphertext words to wire bytes and back, with every check a receiver owes them.

Words are uint64 of shape (ciphertexts, primes, degree). On the wire each row of `degree` words of 48
or 50 bits is three planes, so that numpy never shifts across words: the low 32 bits of all words
(little-endian), the next 16 bits of all words, and for 50 bits the top two bits, one byte for the words
i, i + N/4, i + N/2, i + 3N/4. That is 6 bytes a word, and 25 bytes for four. A frame is a fixed number
of ciphertexts; its length is known before it arrives. Does not add, open or store anything.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from privacy.errors import ProtocolError
from privacy.he.params import CiphertextParams

LOW, MIDDLE = 32, 16


def digest(frame: bytes) -> bytes:
    """SHA-256 of a frame, 32 bytes."""
    return hashlib.sha256(frame).digest()


def encode(words: NDArray[np.uint64], params: CiphertextParams) -> bytes:
    """Pack words of shape (ciphertexts, primes, degree), each below its prime, into a frame.

    Raises:
        ValueError: the array has another shape or type.
    """
    if words.dtype != np.uint64 or words.shape[1:] != (len(params.primes), params.degree):
        raise ValueError("words must be uint64 of shape (ciphertexts, primes, degree)")
    degree = params.degree
    rows = np.empty((*words.shape[:2], degree * params.prime_bits // 8), np.uint8)
    rows[..., : 4 * degree].view("<u4")[:] = words & np.uint64(0xFFFFFFFF)
    rows[..., 4 * degree : 6 * degree].view("<u2")[:] = (words >> np.uint64(LOW)) & np.uint64(0xFFFF)
    if params.prime_bits > LOW + MIDDLE:
        top = (words >> np.uint64(LOW + MIDDLE)).astype(np.uint8).reshape(*words.shape[:2], 4, degree // 4)
        rows[..., 6 * degree :] = top[..., 0, :] | top[..., 1, :] << 2 | top[..., 2, :] << 4 | top[..., 3, :] << 6
    return rows.tobytes()


def decode(frame: bytes, ciphertexts: int, params: CiphertextParams) -> NDArray[np.uint64]:
    """Unpack a frame of exactly `ciphertexts` ciphertexts into words (ciphertexts, primes, degree).

    Raises:
        ProtocolError: `protocol.frame_length` for any other length, checked before anything is
            allocated; `protocol.frame_range` for a word that is not below its prime.
    """
    if len(frame) != ciphertexts * params.ciphertext_bytes:
        raise ProtocolError(
            f"a ciphertext frame has {len(frame)} bytes instead of {ciphertexts * params.ciphertext_bytes}; "
            "the sender must send it again as the study's parameters say",
            code="protocol.frame_length",
        )
    degree, primes = params.degree, len(params.primes)
    rows = np.frombuffer(frame, np.uint8).reshape(ciphertexts, primes, degree * params.prime_bits // 8)
    words = rows[..., 4 * degree : 6 * degree].view("<u2").astype(np.uint64)
    if params.prime_bits > LOW + MIDDLE:
        quarters = words.reshape(ciphertexts, primes, 4, degree // 4)
        for quarter in range(4):
            top = (rows[..., 6 * degree :] >> (2 * quarter)) & 3
            quarters[..., quarter, :] |= top.astype(np.uint64) << np.uint64(MIDDLE)
    words <<= np.uint64(LOW)
    words |= rows[..., : 4 * degree].view("<u4")
    if (words >= moduli(params)).any():
        raise ProtocolError(
            "a ciphertext frame holds a word outside its modulus; the sender's upload is damaged or made up",
            code="protocol.frame_range",
        )
    return words


def check(frame: bytes, index: int, length: int, params: CiphertextParams) -> None:
    """Check frame `index` (from 0) of an upload of `length` values, as on receipt.

    Raises:
        ProtocolError: as `decode`; `protocol.frame_index` if the upload has no such frame.
    """
    decode(frame, expected_ciphertexts(index, length, params), params)


def check_seeds(seeds: bytes, length: int, params: CiphertextParams) -> None:
    """Check the size of an upload's seeds; any value of them is a seed.

    Raises:
        ProtocolError: `protocol.seed_length`.
    """
    if len(seeds) != params.seed_bytes(length):
        raise ProtocolError(
            f"an upload's seeds have {len(seeds)} bytes instead of {params.seed_bytes(length)}; "
            "the sender must send them again as the study's parameters say",
            code="protocol.seed_length",
        )


def expected_ciphertexts(index: int, length: int, params: CiphertextParams) -> int:
    """Ciphertexts in frame `index` (from 0) of an upload of `length` values.

    Raises:
        ProtocolError: `protocol.frame_index` if the upload has no such frame.
    """
    counts = params.frame_ciphertexts(length)
    if not 0 <= index < len(counts):
        raise ProtocolError(
            f"there is no ciphertext frame {index}: an upload of this study has {len(counts)} frames",
            code="protocol.frame_index",
        )
    return counts[index]


def moduli(params: CiphertextParams) -> NDArray[np.uint64]:
    """The primes as a column that broadcasts over words, shape (primes, 1)."""
    return np.array(params.primes, np.uint64)[:, None]

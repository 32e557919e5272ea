"""Masks on ciphertext words: the second layer, independent of the lattice, that hides an update from silos too.

Silo u uploads `w = c0 + self mask + sum of pair masks with v > u - sum of pair masks with v < u`, modulo each prime
and over all words (Bonawitz et al., CCS 2017, with the masks on the ciphertext). In the sum over the survivors the
pair masks of survivors cancel; what is left is subtracted with keys that t silos reveal (M5). This file adds and
subtracts; which keys and with which sign is said by `privacy.secagg.round_keys` and `privacy.secagg.unmask`.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from privacy.he.params import CiphertextParams
from privacy.secagg import prg
from privacy.secagg.derive import KEY_BYTES

MAX_KEYS = 8192
"""Most masks that are added at once: 64 silos need at most 64 + 32 * 32."""


@dataclass(frozen=True)
class MaskKeys:
    """The keys whose masks are added and those whose masks are subtracted; hidden from `repr`."""

    plus: tuple[bytes, ...] = field(repr=False)
    minus: tuple[bytes, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if any(len(key) != KEY_BYTES for key in self.plus + self.minus):
            raise ValueError("a mask key has 32 bytes")
        if len(set(self.plus + self.minus)) != len(self.plus + self.minus):
            raise ValueError("every mask has its own key")
        if len(self.plus) + len(self.minus) > MAX_KEYS:
            raise ValueError(f"at most {MAX_KEYS} masks are added at once")

    def negated(self) -> "MaskKeys":
        """The same masks with opposite signs."""
        return MaskKeys(self.minus, self.plus)


class Mask:
    """The words of one mask: uniform below each prime, at any ciphertext index.

    Args:
        key: 32 bytes, used for this mask alone.
        params: the study's ciphertext parameters.
    """

    def __init__(self, key: bytes, params: CiphertextParams) -> None:
        self._key = key
        self._params = params

    def words(self, first_ciphertext: int, count: int) -> NDArray[np.uint64]:
        """The mask of `count` ciphertexts from `first_ciphertext` (from 0) on: uint64 (count, primes, degree)."""
        return prg.residues(self._key, self._params.primes, self._params.degree, first_ciphertext, count)


def add(words: NDArray[np.uint64], keys: MaskKeys, params: CiphertextParams, first: int) -> None:
    """Add masks to words in place, modulo each prime.

    Args:
        words: uint64 (ciphertexts, primes, degree), C-contiguous, each below its prime.
        keys: whose masks to add and subtract.
        params: the study's ciphertext parameters.
        first: index in the upload, from 0, of the first ciphertext of `words`.

    Raises:
        ValueError: the array has another shape, type or layout.
    """
    shape = (len(params.primes), params.degree)
    if words.dtype != np.uint64 or words.shape[1:] != shape or not words.flags.c_contiguous:
        raise ValueError("words must be contiguous uint64 of shape (ciphertexts, primes, degree)")
    streams = [prg.rows(key, params.primes, params.degree, first, len(words)) for key in (*keys.plus, *keys.minus)]
    for index, row in enumerate(words.reshape(-1, params.degree)):
        # Sums are reduced once. The row starts at |minus| q and never falls below 0, since every mask is
        # below q; it stays below (1 + 8192) 2^50 < 2^64.
        prime = params.primes[index % len(params.primes)]
        row += np.uint64(len(keys.minus) * prime)
        for number, stream in enumerate(streams):
            mask = next(stream)
            if number < len(keys.plus):
                row += mask
            else:
                row -= mask
        # numpy divides by a constant much faster than it takes the remainder.
        row -= row // np.uint64(prime) * np.uint64(prime)


def subtract(words: NDArray[np.uint64], keys: MaskKeys, params: CiphertextParams, first: int) -> None:
    """The inverse of `add`."""
    add(words, keys.negated(), params, first)

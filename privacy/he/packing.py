"""Values to polynomial coefficients and back: exact, with float64 used only where it is exact.

A coefficient is X = `2^shift * sum_f value_f 2^(field_bits f)`, given by its residues modulo each prime.
Value i of a ciphertext sits in field i // degree of coefficient i % degree. Sums of products are taken
by matrix products in float64, for speed (BLAS): **a float64 sum of products of integers is exact, in any
order and with or without fused operations, if the absolute values of all terms add up to at most 2^53.** Where a
quotient is estimated in floating point, the error is bounded and then removed in integers. The
bounds, for values below 2^16, at most 12 fields of at most 24 bits, and at most 4 primes of 48 to 50 bits:

*pack.* Weights c_f = 2^(shift + field_bits f) mod q = 2^25 h_f + l_f with h_f, l_f < 2^25. The sums
a = sum v_f h_f and b = sum v_f l_f are below 12 2^41 < 2^45: exact. X mod q = (2^25 a + b) mod q, where
the true quotient t = (2^25 a + b) / q is below 2^71 / 2^47 = 2^24. Its estimate has at most four roundings,
all terms positive, so relative error below 2^-50; scaled down by 1 - 2^-48 it is at most t, and
above t - 2^-23: its floor is floor(t) or one less, and the remainder, exact modulo 2^64, lies in
[0, 2q). One conditional subtraction of q is left.

*unpack.* To the residues of the phase X + noise half a unit, 2^(shift-1), is added, so that they are
those of one integer P with 0 <= P < Q(1 - 2^-32) (`CiphertextParams`). With Q_j = Q / q_j and
y_j = (x_j Q_j^-1 mod q_j) + (0, q_j or -q_j), P = sum y_j Q_j - w Q, w = floor(sum y_j / q_j).
  y_j: x_j < 2^50 converts exactly, the estimate of the quotient (below 2^50) has relative error
  below 2^-51, so it is off by at most one after its floor: y_j in [-q, 2q), exact modulo 2^64.
  w: sum y_j / q_j = w + P/Q in exact arithmetic with P/Q in [0, 1 - 2^-32). Four terms below 2 with two
  roundings each, and four additions: error below 2^-46. With 2^-33 added, the floor is w.
  P in limbs of 24 bits: y_j = 2^25 h + l with |h| <= 2^26, 0 <= l < 2^25, and |w| <= 8, times limbs below
  2^24: 4 (2^50 + 2^49) + 8 2^24 < 2^53: exact. Then carries, in int64.
So every honest sum is opened exactly. Of any other phase the top field keeps what lies above it, and it may be
negative or too large: the caller judges. Does not know ciphertexts or keys.
"""

import numpy as np
from numpy.typing import NDArray

from privacy.he.params import HEADROOM_BITS, CiphertextParams

HALF = 25
LIMB = 24
BLOCK = 2048
"""Columns at a time: small enough for the cache, and for BLAS to stay on one core, which it must in forked workers."""

U64 = np.uint64
Words = NDArray[np.uint64]


class Packing:
    """Packs and unpacks for one set of parameters; holds the constants of the module's first lines.

    Raises:
        ValueError: the parameters are outside the proven bounds.
    """

    def __init__(self, params: CiphertextParams) -> None:
        self.params = params
        primes, modulus, fields = params.primes, params.modulus, params.fields
        self._limbs = -(-(modulus.bit_length() + 2) // LIMB)
        top = params.shift + params.field_bits * (fields - 1)
        if fields > 12 or params.field_bits > LIMB or len(primes) > 4 or LIMB * self._limbs - top > 62:
            raise ValueError("packing is not proven exact for these parameters")
        weights = [[pow(2, params.shift + params.field_bits * field, q) for field in range(fields)] for q in primes]
        halves = [[w >> HALF for w in row] for row in weights] + [[w % (1 << HALF) for w in row] for row in weights]
        self._weights = np.array(halves, np.float64)
        rests = [modulus // prime for prime in primes]
        self._inverses = [pow(rest, -1, prime) for rest, prime in zip(rests, primes, strict=True)]
        columns = [self._split(rest << HALF) for rest in rests] + [self._split(rest) for rest in rests]
        self._recombine = np.array([*columns, [-limb for limb in self._split(modulus)]], np.float64).T.copy()

    def pack(self, values: NDArray[np.uint16]) -> Words:
        """Pack values, padded with zeros to whole ciphertexts, into coefficients (ciphertexts, primes, degree)."""
        params, per = self.params, self.params.values_per_ciphertext
        packed = np.empty((params.ciphertexts(values.size), len(params.primes), params.degree), np.uint64)
        padded = np.zeros(params.degree * params.fields, np.float64)
        for index, residues in enumerate(packed):
            part = values[index * per : (index + 1) * per]
            padded[: part.size] = part
            padded[part.size :] = 0
            by_field = padded.reshape(params.fields, params.degree)
            for start in range(0, params.degree, BLOCK):
                self._reduce(self._weights @ by_field[:, start : start + BLOCK], residues[:, start : start + BLOCK])
        return packed

    def unpack(self, phases: Words) -> NDArray[np.int64]:
        """Sums in all fields, those without a value included, of decrypted coefficients (ciphertexts, primes, degree).

        Shape (ciphertexts, fields * degree); the values of each ciphertext come first. Of a phase that no honest sum
        gives, some field is below 0 or above `largest_sum`, unless it differs from an honest one by fields alone.
        """
        params = self.params
        sums = np.empty((len(phases), params.fields, params.degree), np.int64)
        for phase, fields in zip(phases, sums, strict=True):
            for start in range(0, params.degree, BLOCK):
                self._open(phase[:, start : start + BLOCK], fields[:, start : start + BLOCK])
        return sums.reshape(len(phases), -1)

    def _reduce(self, halves: NDArray[np.float64], residues: Words) -> None:
        """(2 primes, columns) exact sums to (primes, columns) residues."""
        count = len(residues)
        for prime, high, low, residue in zip(self.params.primes, halves[:count], halves[count:], residues, strict=True):
            quotient = high * (2.0**HALF / prime)
            quotient += low * (1.0 / prime)
            quotient *= 1 - 2.0**-48
            residue[:] = high.astype(np.uint64)
            residue <<= U64(HALF)
            residue += low.astype(np.uint64)
            residue -= quotient.astype(np.uint64) * U64(prime)
            np.minimum(residue, residue - U64(prime), out=residue)

    def _open(self, phase: Words, fields: NDArray[np.int64]) -> None:
        """(primes, columns) residues of phases to (fields, columns) sums."""
        params, count = self.params, len(phase)
        parts = np.empty((2 * count + 1, phase.shape[1]), np.float64)
        multiple = np.full(phase.shape[1], 2.0 ** -(HEADROOM_BITS + 1))
        for index, (prime, inverse) in enumerate(zip(params.primes, self._inverses, strict=True)):
            raised = phase[index] + U64(1 << (params.shift - 1))
            np.minimum(raised, raised - U64(prime), out=raised)
            quotient = (raised * (inverse / prime)).astype(np.uint64)
            raised *= U64(inverse)
            quotient *= U64(prime)
            raised -= quotient
            scaled = raised.view(np.int64)
            parts[index] = scaled >> HALF
            parts[count + index] = scaled & ((1 << HALF) - 1)
            multiple += scaled * (1.0 / prime)
        np.floor(multiple, out=parts[-1])
        limbs = (self._recombine @ parts).astype(np.int64)
        for index in range(self._limbs - 1):
            limbs[index + 1] += limbs[index] >> LIMB
            limbs[index] &= (1 << LIMB) - 1
        for field in range(params.fields):
            first, offset = divmod(params.shift + params.field_bits * field, LIMB)
            if field == params.fields - 1:
                fields[field] = limbs[first] >> offset
                for index in range(first + 1, self._limbs):
                    fields[field] += limbs[index] << (LIMB * (index - first) - offset)
            else:
                fields[field] = limbs[first] >> offset
                if offset + params.field_bits > LIMB:
                    fields[field] |= limbs[first + 1] << (LIMB - offset)
                fields[field] &= (1 << params.field_bits) - 1

    def _split(self, number: int) -> list[int]:
        """A number below 2^(24 limbs) in limbs, lowest first."""
        return [(number >> (LIMB * index)) & ((1 << LIMB) - 1) for index in range(self._limbs)]

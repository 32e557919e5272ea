"""Real updates to unsigned integers for the encrypted sum, and integer sums back to reals.

A tensor's range [-limit, limit] is cut into 2^bits - 1 equal steps; a value is rounded up or down at random, so that
its expectation is the value itself (stochastic rounding, Gupta et al., ICML 2015), with bits from the secure stream. A
value outside its range is moved to the edge and counted. Which ranges is not decided here (`privacy.secagg.ranges`);
integer fields never pass through here.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from privacy.randomness import SecureStream

BLOCK = 1 << 17
"""Values that are rounded at a time, so that temporaries stay small."""


class Quantiser:
    """Maps values within the limit of their tensor to 0..2^bits - 1 and sums of them back.

    Args:
        limits: positive half-width of the range of each tensor.
        sizes: number of values of each tensor, in the order of the vector; P together.
        bits: bits of an integer, 2 to 16.

    Raises:
        ValueError: a limit is not positive and finite, there is not one for each tensor, or bits are out of range.
    """

    def __init__(self, limits: Sequence[float], sizes: Sequence[int], bits: int) -> None:
        if len(limits) != len(sizes):
            raise ValueError("every tensor has one limit")
        if not all(np.isfinite(limit) and limit > 0 for limit in limits):
            raise ValueError("limits must be positive and finite")
        if not 2 <= bits <= 16:
            raise ValueError("bits must be from 2 to 16")
        self._limits, self._sizes = tuple(limits), tuple(sizes)
        self._largest = (1 << bits) - 1

    def encode(self, vector: NDArray[np.float64], stream: SecureStream) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        """Round a finite vector, shape (P,), at random to integers; with how many values of each tensor saturated.

        Raises:
            ValueError: the vector is not finite, or its shape is not that of the tensors.
        """
        self._check_shape(vector)
        encoded = np.empty(vector.size, np.uint16)
        saturated = np.zeros(len(self._sizes), np.int64)
        for tensor, limit, part in self._parts():
            values = vector[part].astype(np.float64, copy=False)
            if not np.isfinite(values).all():
                raise ValueError("only finite values can be sent")
            saturated[tensor] += np.count_nonzero(np.abs(values) > limit)
            steps = (np.clip(values, -limit, limit) + limit) * (self._largest / (2.0 * limit))
            # floor(x + u) is ceil(x) with probability frac(x). The clip takes up the last rounding at the upper edge.
            rounded = np.floor(steps + stream.uniforms(values.size))
            encoded[part] = np.minimum(rounded, self._largest)
        return encoded, saturated

    def decode_sum(self, sums: NDArray[np.int64], count: int) -> NDArray[np.float64]:
        """The sum of the real values that `count` silos encoded, from the integer sum, shape (P,), float64.

        Raises:
            ValueError: the sums cannot be of `count` silos, or their shape is not that of the tensors.
        """
        self._check_shape(sums)
        if count < 1 or int(sums.min(initial=0)) < 0 or int(sums.max(initial=0)) > count * self._largest:
            raise ValueError("these are not sums of that many encoded vectors")
        decoded = np.empty(sums.size, np.float64)
        for _, limit, part in self._parts():
            decoded[part] = sums[part] * (2.0 * limit / self._largest) - count * limit
        return decoded

    def _parts(self) -> Iterator[tuple[int, float, slice]]:
        """Each tensor in pieces of at most `BLOCK` values: its index, its limit, and where the piece is."""
        start = 0
        for tensor, (limit, size) in enumerate(zip(self._limits, self._sizes, strict=True)):
            for begin in range(start, start + size, BLOCK):
                yield tensor, limit, slice(begin, min(begin + BLOCK, start + size))
            start += size

    def _check_shape(self, vector: NDArray[np.float64] | NDArray[np.int64]) -> None:
        if vector.shape != (sum(self._sizes),):
            raise ValueError("a vector has one dimension, and all values of all tensors")

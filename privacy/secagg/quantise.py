"""Real updates to unsigned integers for the encrypted sum, and integer sums back to reals.

The range [-limit, limit] is cut into 2^bits - 1 equal steps; a value is rounded up or down at random, so that its
expectation is the value itself (stochastic rounding, Gupta et al., ICML 2015), with bits from the secure stream. A
value outside its range is moved to the edge and counted; the count depends on patients and stays at the silo.
Ranges come from public numbers only. Integer metric fields never pass through here.
"""

import math

import numpy as np
from numpy.typing import NDArray

from privacy.errors import StudyError
from privacy.randomness import SecureStream
from privacy.study import Privacy, Training

BLOCK = 1 << 17
"""Values that are rounded at a time, so that temporaries stay small."""

NOISE_DEVIATIONS = 8.0
"""Noise beyond this many standard deviations, which saturates, has probability 1.3e-15 a value."""


class Quantiser:
    """Maps values within `limits` to 0..2^bits - 1 and sums of them back.

    Args:
        limits: positive half-width of the range, for all values or one for each, float64.
        bits: bits of an integer, 2 to 16.

    Raises:
        ValueError: a limit is not positive and finite, or bits are out of range.
    """

    def __init__(self, limits: float | NDArray[np.float64], bits: int) -> None:
        self._limits: NDArray[np.float64] = np.asarray(limits, np.float64)
        if self._limits.ndim > 1 or not (np.isfinite(self._limits) & (self._limits > 0)).all():
            raise ValueError("limits must be positive and finite")
        if not 2 <= bits <= 16:
            raise ValueError("bits must be from 2 to 16")
        self._largest = (1 << bits) - 1

    def encode(self, vector: NDArray[np.float64], stream: SecureStream) -> tuple[NDArray[np.uint16], int]:
        """Round a finite vector, shape (P,), at random to integers; with how many values were out of range.

        Raises:
            ValueError: the vector is not finite, or its shape is not that of the limits.
        """
        self._check_shape(vector)
        limits = np.broadcast_to(self._limits, vector.shape)
        encoded = np.empty(vector.size, np.uint16)
        saturated = 0
        for start in range(0, vector.size, BLOCK):
            part = slice(start, start + BLOCK)
            values, limit = vector[part].astype(np.float64, copy=False), limits[part]
            if not np.isfinite(values).all():
                raise ValueError("only finite values can be sent")
            saturated += int(np.count_nonzero(np.abs(values) > limit))
            steps = (np.clip(values, -limit, limit) + limit) * (self._largest / (2.0 * limit))
            # floor(x + u) is ceil(x) with probability frac(x). The clip takes up the last rounding at the upper edge.
            rounded = np.floor(steps + stream.uniforms(values.size))
            encoded[part] = np.minimum(rounded, self._largest)
        return encoded, saturated

    def decode_sum(self, sums: NDArray[np.int64], count: int) -> NDArray[np.float64]:
        """The sum of the real values that `count` silos encoded, from the integer sum, shape (P,), float64.

        Raises:
            ValueError: the sums cannot be of `count` silos, or their shape is not that of the limits.
        """
        self._check_shape(sums)
        if count < 1 or int(sums.min(initial=0)) < 0 or int(sums.max(initial=0)) > count * self._largest:
            raise ValueError("these are not sums of that many encoded vectors")
        decoded = sums * (2.0 * self._limits / self._largest)
        decoded -= count * self._limits
        return decoded

    def _check_shape(self, vector: NDArray[np.float64] | NDArray[np.int64]) -> None:
        if vector.ndim != 1 or (self._limits.ndim == 1 and self._limits.shape != vector.shape):
            raise ValueError("a vector has one dimension, and one value for each limit")


def public_limit(privacy: Privacy, training: Training) -> float:
    """The half-width of the range of one local update's values, from numbers of the study alone.

    A round is `local_steps` steps of `learning_rate * (S + N) / lot_size`. S sums clipped gradients: its norm is at
    most `clip` times the patients drawn, about `lot_size` of them, so a coordinate of S / lot_size exceeds `clip`
    only if a lot is larger than planned and all its gradients point along that one coordinate. Steps add up to
    `local_steps * clip`. N is Gaussian with deviation `noise_multiplier * clip` a coordinate and step, so its sum
    over steps grows with their square root. What saturates all the same changes the update after the noise, which
    costs accuracy and no privacy. Without DP gradients are clipped too, and there is no noise.

    Raises:
        StudyError: the study asks for DP but its noise multiplier was not filled in at signing.
    """
    if privacy.mechanism == "dp_sgd" and privacy.noise_multiplier is None:
        raise StudyError("the study has no noise multiplier; it must be signed by 'study sign', which fills it in")
    deviation = (privacy.noise_multiplier or 0.0) * privacy.clip / privacy.lot_size
    signal = training.local_steps * privacy.clip
    return training.learning_rate * (signal + NOISE_DEVIATIONS * math.sqrt(training.local_steps) * deviation)

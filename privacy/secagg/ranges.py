"""The range of each tensor's values, round by round: the same at every silo, and none shows its own.

In the first round every tensor has the range that follows from the study's numbers (`public_bound`). After each round
it follows from what all silos have just opened: the integer sum, and how many values saturated over all silos.
A range is the public bound times a power of two, and the power is found in exact integers and fractions, with no
floating-point sum: silos that opened the same integers have the same ranges, whatever machine they run on. A change
in the last bit of a float cannot give two silos two ranges; if their powers ever differed, `bind` gives them
different contexts, and they refuse each other before anything is trained.

Does not see an update: only sums over silos. Its input being an accounted release, so is whatever follows from it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from privacy.digest import protocol_hash
from privacy.errors import StudyError
from privacy.secagg.quantise import Quantiser
from privacy.study import Privacy, Training

NOISE_DEVIATIONS = 8.0
"""Noise beyond this many standard deviations, which saturates, has probability 1.3e-15 a value."""

HEADROOM = 8
"""Silos differ: one silo's values may be so many times the largest of the mean update before they saturate."""

STEP = 4
"""Powers of two by which a range narrows at most in a round, and widens at once when values saturated."""

NARROWEST, WIDEST = -12, 4
"""Powers of two over the public bound. A step of the narrowest range is 2^-27 of the bound, finer than the network's
float32. The widest is what a lot of 16 times its planned size could reach; a silo that lies about saturation cannot
take the others further."""


@dataclass(frozen=True)
class PublicBound:
    """Half-width of the range that a study's numbers alone give, in the units of the weights: what noise needs, and
    what the clipped gradients can reach."""

    noise: float
    signal: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.limit) and self.noise >= 0 and self.signal > 0):
            raise ValueError("a bound is positive and finite")

    @property
    def limit(self) -> float:
        """Noise and signal together."""
        return self.noise + self.signal


def public_bound(privacy: Privacy, training: Training) -> PublicBound:
    """The half-width of the range of one local update's values, from numbers of the study alone.

    A round is `local_steps` steps of `learning_rate * (S + N) / lot_size`. S sums clipped gradients: its norm is at
    most `clip` times the patients drawn, about `lot_size` of them, so a coordinate of S / lot_size exceeds `clip`
    only if a lot is larger than planned and all its gradients point along that one coordinate. Steps add up to
    `local_steps * clip`. N is Gaussian with deviation `noise_multiplier * clip` a coordinate and step, so its sum
    over steps grows with their square root. With momentum each step counts at most 1 / (1 - momentum) times. What
    saturates all the same changes the update after the noise, which costs accuracy and no privacy. Without DP
    gradients are clipped too, and there is no noise.

    Raises:
        StudyError: the study asks for DP but its noise multiplier was not filled in at signing.
    """
    if privacy.mechanism == "dp_sgd" and privacy.noise_multiplier is None:
        raise StudyError("the study has no noise multiplier; it must be signed by 'study sign', which fills it in")
    deviation = (privacy.noise_multiplier or 0.0) * privacy.clip / privacy.lot_size
    rate = training.learning_rate / (1 - training.momentum)
    return PublicBound(
        noise=rate * NOISE_DEVIATIONS * math.sqrt(training.local_steps) * deviation,
        signal=rate * training.local_steps * privacy.clip,
    )


@dataclass(frozen=True)
class Ranges:
    """For each tensor of the layout, in its order, the power of two that its range is of the public bound.

    Raises:
        ValueError: a power is not from `NARROWEST` to `WIDEST`.
    """

    powers: tuple[int, ...]

    def __post_init__(self) -> None:
        if not all(NARROWEST <= power <= WIDEST for power in self.powers):
            raise ValueError("a range is outside of what any round can lead to")

    @classmethod
    def first(cls, tensors: int) -> "Ranges":
        """Those of round 1: the public bound for every tensor."""
        return cls((0,) * tensors)

    def bind(self, layout_digest: bytes) -> bytes:
        """The layout's digest with these ranges, 32 bytes: what a round's context names as its layout."""
        return protocol_hash("ranges", layout_digest, np.array(self.powers, np.int8).tobytes())

    def quantiser(self, bound: PublicBound, sizes: Sequence[int], bits: int) -> Quantiser:
        """The quantiser of a round with these ranges, for tensors of `sizes` values."""
        return Quantiser([math.ldexp(bound.limit, power) for power in self.powers], sizes, bits)

    def following(
        self,
        bound: PublicBound,
        sums: NDArray[np.int64],
        saturated: NDArray[np.int64],
        *,
        sizes: Sequence[int],
        weights: Sequence[float],
        bits: int,
    ) -> "Ranges":
        """The ranges of the next round, from what this round's sum opened to.

        A range has room for the noise and `HEADROOM` times the largest value of the mean update, but narrows by at
        most `STEP` powers of two a round, since a tensor may rest. Where a value saturated, at any silo, it widens by
        `STEP` up to the public bound, and beyond that, which takes saturation, by one.

        Args:
            bound: of the study.
            sums: integers of the model's values, summed over the survivors, shape (P,).
            saturated: how many values of each tensor saturated over the survivors, shape (T,).
            sizes: number of values of each of the T tensors.
            weights: public weights of the survivors, each in (0, 1].
            bits: bits of one encoded value.

        Raises:
            ValueError: sums, counts, sizes and ranges are not of one layout.
        """
        if sums.shape != (sum(sizes),) or not len(sizes) == len(self.powers) == len(saturated):
            raise ValueError("sums and counts are of another layout than these ranges")
        span = len(weights) * ((1 << bits) - 1)
        # The mean update's largest value in units of its tensor's range is peak / scale.
        scale = ((1 << bits) - 1) * sum(map(Fraction, weights), Fraction(0))
        public, noise = Fraction(bound.limit), Fraction(bound.noise)
        powers, start = [], 0
        for power, size, count in zip(self.powers, sizes, saturated.tolist(), strict=True):
            part, start = sums[start : start + size], start + size
            peak = max(abs(2 * int(part.max()) - span), abs(2 * int(part.min()) - span)) if size else 0
            needed = _least_power(noise / public + HEADROOM * Fraction(2) ** power * peak / scale)
            needed = min(needed, max(power, 0))
            if count:
                widened = min(power + STEP, 0) if power < 0 else min(power + 1, WIDEST)
                powers.append(max(needed, widened))
            else:
                powers.append(max(needed, power - STEP, NARROWEST))
        return Ranges(tuple(powers))


def _least_power(ratio: Fraction) -> int:
    """The least e, not below `NARROWEST`, with 2^e >= ratio; exact, so that there are no ties to break."""
    if ratio == 0:
        return NARROWEST
    # 2^(e-1) < ratio < 2^(e+1), by the lengths of numerator and denominator.
    power = ratio.numerator.bit_length() - ratio.denominator.bit_length()
    return max(NARROWEST, power if ratio <= Fraction(2) ** power else power + 1)

"""The attacker: from what left the mechanism to guesses about who was in it.

The guesses are by likelihood ratio, which no test beats (Neyman and Pearson); membership inference calls
it LiRA (Carlini et al., IEEE S&P 2022, arXiv 2112.03570). Where LiRA estimates the two distributions with
shadow models, the noise of the mechanism is public here, and both are known exactly.
"""

import math
import secrets

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def coins(count: int) -> NDArray[np.bool_]:
    """Fair coins from the operating system, (count,); never from the stream that the audited mechanism draws from."""
    return np.unpackbits(np.frombuffer(secrets.token_bytes(-(-count // 8)), np.uint8), count=count).astype(np.bool_)


def evidence(seen: Floats, size: float | Floats, *, rate: float, noise: float, steps: int) -> Floats:
    """The log-likelihood ratio of present against absent, for each value seen.

    A value is N(k s, steps noise^2): k is Binomial(steps, rate) for a canary that is present, 0 for one that is absent.

    Args:
        seen: sums along a canary's direction, in clips.
        size: s, the length of its clipped gradient, in clips; a number or of the shape of `seen`.
        rate: sampling rate.
        noise: noise multiplier.
        steps: noisy steps in one value.

    Returns:
        The shape of `seen`; positive speaks for present.
    """
    variance = steps * noise**2
    total = np.full(seen.shape, -np.inf)
    for taken in range(steps + 1):
        if rate == 1 and taken < steps:
            continue
        weight = math.log(math.comb(steps, taken)) + taken * math.log(rate)
        weight += (steps - taken) * math.log1p(-rate) if taken < steps else 0.0
        shift = taken * np.asarray(size)
        total = np.logaddexp(total, weight + (shift * seen - shift**2 / 2) / variance)
    return total


def right_guesses(ratios: Floats, present: NDArray[np.bool_], guesses: int) -> int:
    """How many are right of the `guesses` that the attacker is surest of.

    Args:
        ratios: log-likelihood ratios, (canaries,).
        present: the coins, (canaries,); used for nothing but the count.
        guesses: how many coins to guess.
    """
    surest = np.argsort(-np.abs(ratios), kind="stable")[:guesses]
    return int(np.count_nonzero((ratios[surest] > 0) == present[surest]))

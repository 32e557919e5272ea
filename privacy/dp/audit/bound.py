"""How much epsilon a number of correct guesses proves: the bound of the one-run audit.

Steinke, Nasr, Jagielski, "Privacy Auditing with One (1) Training Run" (NeurIPS 2023, arXiv 2305.08846),
theorem 5.2 and appendix D. If each of m canaries is present by its own fair coin, a mechanism is
(epsilon, delta)-DP for every canary and an attacker who sees only the output guesses r of the coins,
then the number of correct guesses is dominated by Binomial(r, e^epsilon / (e^epsilon + 1)), but for
2 m delta times the largest mean probability of the values just below. Runs of independent coins and
noise count as one run: together they are (epsilon, delta)-DP for each canary.

The number of guesses must be fixed before the output is seen; which coins are guessed need not be.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

CEILING: Final = 50.0
"""No bound above this is told apart."""


def p_value(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """The largest probability of `correct` or more right guesses under any (epsilon, delta)-DP mechanism.

    Raises:
        ValueError: not 0 <= correct <= guesses <= canaries, epsilon < 0, or delta not in [0, 1).
    """
    if not 0 <= correct <= guesses <= canaries or epsilon < 0 or not 0 <= delta < 1:
        raise ValueError("an audit has 0 <= correct <= guesses <= canaries, epsilon >= 0 and delta in [0, 1)")
    mass = _binomial(guesses, 1.0 / (1.0 + math.exp(-epsilon)))
    below = np.cumsum(mass[:correct][::-1])  # P[correct - i <= W < correct], i = 1, 2, ...
    spread = float((below / np.arange(1, correct + 1)).max(initial=0.0))
    return min(1.0, float(mass[correct:].sum()) + 2.0 * canaries * delta * spread)


def epsilon_lower_bound(canaries: int, guesses: int, correct: int, delta: float, confidence: float) -> float:
    """The largest epsilon that the guesses refute at this confidence, 0 if they refute none.

    Raises:
        ValueError: as `p_value`, or a confidence that is not in (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError("a confidence lies between 0 and 1")
    if p_value(canaries, guesses, correct, 0.0, delta) > 1.0 - confidence:
        return 0.0
    low, high = 0.0, CEILING
    while high - low > 1e-6:
        middle = (low + high) / 2
        if p_value(canaries, guesses, correct, middle, delta) <= 1.0 - confidence:
            low = middle
        else:
            high = middle
    return low


def _binomial(trials: int, chance: float) -> NDArray[np.float64]:
    """P[W = 0..trials]; by logarithms, since the powers alone underflow."""
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    count = np.arange(trials + 1)
    choose = factorials[-1] - factorials - factorials[::-1]
    mass: NDArray[np.float64] = np.exp(choose + count * math.log(chance) + count[::-1] * math.log1p(-chance))
    return mass

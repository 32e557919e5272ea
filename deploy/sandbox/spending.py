"""What the rounds of a sandbox cost in privacy: shown while they run, and read from the ledgers after.

The figure while it runs is for the eye: it follows the closed rounds with a delay, since an
accountant takes a good part of a second. The figure of the summary is computed from the ledger.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path

from privacy.dp.accounting import epsilon_pld
from privacy.dp.events import DpSgdEvent
from privacy.ledger.budgets.budget import charged
from privacy.ledger.reader import read

PAUSE = 2.0
"""Seconds between two computations while silos train on the same cores."""


@dataclass(frozen=True)
class Mechanism:
    """The numbers of a signed study that its price depends on."""

    sampling_rate: float
    noise_multiplier: float
    local_steps: int
    delta: float


class Meter:
    """Epsilon of a number of closed rounds; None = unprotected."""

    def __init__(self, mechanism: Mechanism | None) -> None:
        self._mechanism = mechanism
        self._known = {0: 0.0}
        self._looked = 0.0

    def after(self, rounds: int) -> float | None:
        """Epsilon (PLD) after so many rounds, or of the last number of rounds that it was computed for."""
        if self._mechanism is None:
            return None
        if rounds not in self._known and time.monotonic() - self._looked >= PAUSE:
            study = self._mechanism
            event = DpSgdEvent(study.sampling_rate, study.noise_multiplier, rounds * study.local_steps)
            self._known[rounds] = epsilon_pld([event], study.delta)
            self._looked = time.monotonic()
        return max(epsilon for known, epsilon in self._known.items() if known <= rounds)


def spent(ledger: Path, cohort: str, delta: float | None) -> float | None:
    """What a silo's ledger says was charged to a cohort, as epsilon (PLD); None = unprotected.

    Raises:
        CorruptState: the ledger does not verify.
    """
    epsilon = epsilon_pld(charged(read(ledger).entries, cohort), delta or 1e-4)
    return None if math.isinf(epsilon) else epsilon

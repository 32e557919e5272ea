"""What an audit is asked and what it found, as frozen values; no attack is in here."""

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privacy.digest import Json
from privacy.dp import accounting
from privacy.dp.audit.bound import epsilon_lower_bound
from privacy.dp.audit.guessing import right_guesses
from privacy.errors import ConfigError
from privacy.study import Privacy, Training

CLAIM: Final = 2.0
"""The epsilon at which mechanisms are audited: above it the attacks find no broken mechanism (docs/explanation)."""

DELTA: Final = 1e-5
"""The delta of the claim, small beside one over the number of canaries."""

CONFIDENCE: Final = 0.95
"""Of each bound: a sound mechanism is called broken with probability 0.05 at most, and far less for Gaussian noise."""

MOST_STEPS: Final = 100
"""Noisy steps that an audit repeats of a study; the claim is for so many."""

VISIBLE: Final = 0.5
"""At this correlation with the true image its large shapes can be seen."""

HIDDEN: Final = 0.25
"""Below this correlation nothing can be seen."""


@dataclass(frozen=True)
class Plan:
    """The mechanism of an audit: a study's own, with the noise that `CLAIM` needs.

    Attributes:
        privacy: clip, rate and divisor of the study; noise multiplier, epsilon and delta of the claim.
        training: rounds, local steps and learning rate.
    """

    privacy: Privacy
    training: Training


@dataclass(frozen=True)
class Finding:
    """The result of one attack.

    Attributes:
        what: name of the attack.
        claimed_epsilon: what the mechanism claims, at `delta`, for these rounds.
        delta: of the claim.
        confidence: of the bound.
        canaries: coins that were tossed.
        guesses: how many of them were guessed; fixed before.
        correct: how many of these guesses were right.
        accuracy: share of all coins guessed right when none may be left out; 0.5 is chance. No part of the bound.
        sampling_rate: of patients.
        noise_multiplier: of the mechanism as it should be.
        rounds: of training.
        local_steps: noisy steps in a round.
    """

    what: str
    claimed_epsilon: float
    delta: float
    confidence: float
    canaries: int
    guesses: int
    correct: int
    accuracy: float
    sampling_rate: float
    noise_multiplier: float
    rounds: int
    local_steps: int

    @property
    def lower_bound(self) -> float:
        """Epsilon is at least this, with the stated confidence."""
        return epsilon_lower_bound(self.canaries, self.guesses, self.correct, self.delta, self.confidence)

    @property
    def outcome(self) -> str:
        """`broken` if the bound is above the claim, `consistent` if not, which proves nothing more."""
        return "broken" if self.lower_bound > self.claimed_epsilon else "consistent"

    def to_json(self) -> dict[str, Json]:
        """Plain data, with the bound and the outcome."""
        return {**asdict(self), "lower_bound": self.lower_bound, "outcome": self.outcome}


@dataclass(frozen=True)
class Inversion:
    """Correlation of the reconstruction with the true image, from -1 to 1.

    Attributes:
        unprotected: from an update without noise: what the attack can do at all.
        protected: from an update with the study's noise.
        noise_multiplier: of the study.
    """

    unprotected: float
    protected: float
    noise_multiplier: float

    @property
    def outcome(self) -> str:
        """`hidden`, `visible`, or `not shown` when the attack fails without noise too and so proves nothing."""
        if abs(self.protected) >= HIDDEN:
            return "visible"
        return "hidden" if self.unprotected >= VISIBLE else "not shown"

    def to_json(self) -> dict[str, Json]:
        """Plain data, with the outcome."""
        return {
            "unprotected": self.unprotected,
            "protected": self.protected,
            "noise_multiplier": self.noise_multiplier,
            "outcome": self.outcome,
        }


def plan(privacy: Privacy, training: Training) -> Plan:
    """The audit of a study at its own sampling rate, clip, divisor and local steps.

    Raises:
        ConfigError: the study has no mechanism (`audit.unprotected`), or no noise reaches the claim.
    """
    steps = min(training.local_steps, MOST_STEPS)
    return _plan(privacy, privacy.sampling_rate, min(training.rounds, MOST_STEPS // steps), steps, training)


def single_step(privacy: Privacy, training: Training, *, sampling_rate: float) -> Plan:
    """The audit of one noisy step with the study's clip and divisor, at a rate.

    Raises:
        ConfigError: as `plan`.
    """
    return _plan(privacy, sampling_rate, 1, 1, training)


def found(what: str, plan: Plan, ratios: NDArray[np.float64], present: NDArray[np.bool_], *, guesses: int) -> Finding:
    """The finding of an attack on a plan.

    Args:
        what: name of the attack.
        plan: what was attacked.
        ratios: the attacker's log-likelihood ratio of present against absent, (canaries,).
        present: the coins, (canaries,).
        guesses: how many of them are guessed; a constant of the attack, since a choice after the fact is no bound.
    """
    return Finding(
        what=what,
        claimed_epsilon=CLAIM,
        delta=DELTA,
        confidence=CONFIDENCE,
        canaries=present.size,
        guesses=guesses,
        correct=right_guesses(ratios, present, guesses),
        accuracy=right_guesses(ratios, present, present.size) / present.size,
        sampling_rate=plan.privacy.sampling_rate,
        noise_multiplier=plan.privacy.noise_multiplier or 0.0,
        rounds=plan.training.rounds,
        local_steps=plan.training.local_steps,
    )


def _plan(privacy: Privacy, rate: float, rounds: int, local_steps: int, training: Training) -> Plan:
    if privacy.mechanism == "none":
        raise ConfigError(
            "the study trains without differential privacy, so there is no claim to audit", code="audit.unprotected"
        )
    claimed = Privacy(
        mechanism="dp_sgd",
        epsilon=CLAIM,
        delta=DELTA,
        clip=privacy.clip,
        sampling_rate=rate,
        lot_size=privacy.lot_size,
        noise_multiplier=accounting.calibrate(CLAIM, DELTA, rate, rounds * local_steps),
    )
    return Plan(claimed, Training(rounds=rounds, local_steps=local_steps, learning_rate=training.learning_rate))

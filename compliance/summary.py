"""The first page: the worst figures over all hospitals, and in plain words what they mean.

A figure is stated only when everything that was found was verified and shows it. The wording names
what is protected, against whom and how much, in terms of what an attacker can gain.
"""

import math
from dataclasses import dataclass

from compliance.budget import CohortBudget
from compliance.cosignatures import Cosignature
from compliance.ledgers import Proof
from privacy.dp.events import UnprotectedEvent


@dataclass(frozen=True)
class SiloView:
    """A hospital and the budgets of its cohorts."""

    name: str
    cohorts: tuple[CohortBudget, ...]


@dataclass(frozen=True)
class Integrity:
    """What was verified of one ledger.

    `pinned` is whether a signed study names its key for this party, `witnessed` how often it entered others' heads.
    `cosigned` are the others that cosigned a head which it extends, of `witnesses` that its studies name.
    """

    party: str
    role: str
    place: str
    entries: int | None
    root: str | None
    fingerprint: str | None
    first: str | None
    last: str | None
    pinned: bool | None
    torn_bytes: int
    problem: str
    witnessed: int
    proofs: tuple[Proof, ...]
    cosigned: tuple[Cosignature, ...]
    witnesses: int


@dataclass(frozen=True)
class Summary:
    """The figures of the first page, over all hospitals: the worst of each.

    `spent`, `attack_success` are None where a hospital's figure is not shown; infinite and 1 where a
    cohort was used without protection. `bare_releases`: figures were released without noise. `refuted`:
    hospitals whose newest audit found that their training code gives less privacy than it claims.
    """

    silos: int
    cohorts: int
    spent: float | None
    delta: float | None
    attack_success: float | None
    unprotected: bool
    within_cap: bool | None
    ledgers: int
    verified: int
    pinned: int
    trained: bool
    bare_releases: bool
    refuted: tuple[str, ...]


def summarise(
    silos: tuple[SiloView, ...], ledgers: tuple[Integrity, ...], *, bare_releases: bool, refuted: tuple[str, ...]
) -> Summary:
    """The worst of each figure; hospitals' cohorts are taken to have no patient in common."""
    budgets = [cohort for silo in silos for cohort in silo.cohorts]
    used = [cohort for cohort in budgets if cohort.rounds]
    shown = [cohort for cohort in used if cohort.spent is not None]
    complete = len(shown) == len(used) and all(not ledger.problem for ledger in ledgers)
    worst = max(shown, key=lambda cohort: cohort.spent or 0.0, default=None)
    return Summary(
        silos=len(silos),
        cohorts=len(budgets),
        spent=worst.spent if worst and complete else None,
        delta=worst.delta if worst and complete else None,
        attack_success=max((c.attack_success or 0.5 for c in shown), default=None) if complete else None,
        unprotected=any(isinstance(event, UnprotectedEvent) for cohort in used for event in cohort.events),
        within_cap=all((c.spent or 0.0) <= (c.cap or 0.0) for c in shown) if complete else None,
        ledgers=len(ledgers),
        verified=sum(not ledger.problem for ledger in ledgers),
        pinned=sum(ledger.pinned is True for ledger in ledgers),
        trained=bool(used),
        bare_releases=bare_releases,
        refuted=refuted,
    )


def statement(summary: Summary) -> tuple[str, ...]:
    """What is protected, against whom, how much: a paragraph each."""
    if summary.verified < summary.ledgers:
        return (
            "A ledger failed its verification, so this report makes no statement on protection. See section 14, and "
            "ask the party that it belongs to.",
        )
    if not summary.trained:
        return ("According to these ledgers, no patient's images were used for training so far.",)
    if summary.unprotected:
        return (
            "At least one hospital trained without differential privacy. What others can learn about a patient of that "
            "cohort has no limit that could be stated.",
        )
    if summary.spent is None or summary.attack_success is None or summary.delta is None:
        return ("The ledgers do not show a cap and its delta for every cohort that was used, so no limit is shown.",)
    if summary.refuted:
        return (
            f"A test by attack found that the training code of {', '.join(summary.refuted)} gives less privacy than it "
            "claims, so this report makes no statement on protection. See section 8. The figures below are what the "
            "ledgers claim.",
        )
    guess = math.ceil(summary.attack_success * 100 - 1e-9)
    return (
        "What is protected: whether any one patient took part in training, and with that whatever training could "
        "reveal about this patient.",
        "Against whom: anybody who sees all that the patient's hospital sent during training, even with the encryption "
        "opened, and the final model, and who knows every other patient of that hospital.",
        f"How much: such a person who guesses whether a patient took part goes from 1 in 2 to at most {guess} in 100 "
        "right guesses, by whatever means.",
        ("Some figures were released without this protection. " if summary.bare_releases else "")
        + "Section 6 lists what is not covered.",
    )

"""What bounds a cohort's loss: the curve of epsilon over delta, the forecast, and that the cap held.

All from events, as in `budget`. That no charge was left out of a ledger is not shown here (`verify` compares ledgers).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from compliance.budget import Accountant, CohortBudget
from compliance.ledgers import Charge, LedgerEvidence
from privacy.dp.events import DpEvent, DpSgdEvent, UnprotectedEvent, merge
from privacy.ledger.budgets.caps import settings
from privacy.study import Study

DELTAS = tuple(10.0**-power for power in range(3, 10))
_SLACK = 1 + 1e-9


@dataclass(frozen=True)
class CurvePoint:
    """Epsilon of a cohort's whole history at another delta than the cap's: one of the pairs that all hold at once."""

    delta: float
    epsilon: float


@dataclass(frozen=True)
class Forecast:
    """What a cohort will have lost when every round still planned by an approved study has run.

    Attributes:
        rounds: still planned.
        epsilon: then, at the cap's delta.
        fits: whether that is within the cap; otherwise the hospital's filter stops before.
    """

    rounds: int
    epsilon: float
    fits: bool


@dataclass(frozen=True)
class HardStop:
    """How the cap was kept.

    Attributes:
        held: whether after each charge the loss was within the cap that was in force, where one was recorded.
        looked_at: charges that this was computed for: the last one under each cap, which none before it exceeded.
        reserved_first: whether each training was charged before it was recorded as done.
        refusals: how often the hospital refused a study or a round, by code.
    """

    held: bool | None
    looked_at: int
    reserved_first: bool
    refusals: dict[str, int]


@dataclass(frozen=True)
class Limits:
    """The limits of one cohort; `forecast` is None where a file of an approved study is missing, or without a cap."""

    silo: str
    cohort: str
    curve: tuple[CurvePoint, ...]
    forecast: Forecast | None
    hard_stop: HardStop


def limits(
    ledger: LedgerEvidence, cohort: CohortBudget, studies: Mapping[str, Study], accountant: Accountant
) -> Limits:
    """The limits of a cohort of a hospital; `studies` by digest, those whose files were found.

    Raises:
        CorruptState: a second person's signature under a cap does not hold.
    """
    charges = [charge for charge in ledger.charges if charge.cohort in (*cohort.names, *cohort.overlaps)]
    return Limits(
        ledger.party,
        cohort.names[0],
        tuple(CurvePoint(delta, accountant.epsilon(cohort.events, delta)) for delta in DELTAS) if charges else (),
        _forecast(ledger, cohort, studies, accountant),
        _hard_stop(ledger, cohort, charges, accountant),
    )


def _forecast(
    ledger: LedgerEvidence, cohort: CohortBudget, studies: Mapping[str, Study], accountant: Accountant
) -> Forecast | None:
    if cohort.cap is None or cohort.delta is None:
        return None
    planned: list[DpEvent] = []
    rounds = 0
    approved = dict.fromkeys(
        (str(entry.body["study_digest"]), str(entry.body["cohort"]))
        for entry in ledger.of_kind("approved")
        if entry.body["cohort"] in (*cohort.names, *cohort.overlaps)
    )
    for digest, name in approved:
        study = studies.get(digest)
        if study is None:
            return None
        done = {c.round for c in ledger.charges if (c.study_digest, c.cohort) == (digest, name)}
        if left := max(0, study.training.rounds - len(done)):
            rounds += left
            planned.append(_event(study, left * study.training.local_steps))
    epsilon = accountant.epsilon(merge((*cohort.events, *planned)), cohort.delta)
    return Forecast(rounds, epsilon, epsilon <= cohort.cap * _SLACK)


def _event(study: Study, steps: int) -> DpEvent:
    noise = study.privacy.noise_multiplier
    return DpSgdEvent(study.privacy.sampling_rate, noise, steps) if noise else UnprotectedEvent(steps)


def _hard_stop(ledger: LedgerEvidence, cohort: CohortBudget, charges: list[Charge], accountant: Accountant) -> HardStop:
    held: bool | None = True if charges else None
    looked_at = 0
    for epsilon, delta, before in _stretches(ledger, cohort, charges):
        looked_at += 1
        if epsilon is None or delta is None:
            held = None if held else held
        # Written so that an accountant that answers NaN counts as exceeded.
        elif not accountant.epsilon(before, delta) <= epsilon * _SLACK:
            held = False
    return HardStop(
        held,
        looked_at,
        ledger.reserved_first,
        _counted(str(entry.body["code"]) for entry in ledger.of_kind("refused")),
    )


def _stretches(
    ledger: LedgerEvidence, cohort: CohortBudget, charges: list[Charge]
) -> Iterator[tuple[float | None, float | None, tuple[DpEvent, ...]]]:
    """Cap, its delta, and all events so far, at the last charge before the cap changed and at the last of all."""
    changes: list[tuple[int, float, float]] = []
    for entry in ledger.entries:
        if entry.body.get("cohort") in cohort.names:
            if entry.kind == "approved":
                cap = (float(str(entry.body["cap_epsilon"])), float(str(entry.body["cap_delta"])))
                changes.append((entry.sequence, *cap))
            changes += [(s.sequence, s.request.cap.epsilon, s.request.cap.delta) for s in settings((entry,))]
    ends = [sequence for sequence, _, _ in changes] + [math.inf]
    for (begin, epsilon, delta), end in zip([(-1, None, None), *changes], ends, strict=True):
        if any(begin < charge.sequence < end for charge in charges):
            yield epsilon, delta, merge(charge.event for charge in charges if charge.sequence < end)


def _counted(codes: Iterator[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for code in codes:
        counts[code] = counts.get(code, 0) + 1
    return dict(sorted(counts.items()))

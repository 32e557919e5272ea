"""What a study costs a cohort of this hospital, and whether the cohort's budget has room for it.

Costs are events, of which epsilon is computed at the delta of the cohort's cap; nothing is charged here.
"""

from dataclasses import dataclass

from privacy.dp import accounting
from privacy.dp.events import DpEvent, DpSgdEvent, UnprotectedEvent
from privacy.errors import BudgetExceeded, StudyError
from privacy.ledger.budgets.budget import BudgetFilter, Cap, charged
from privacy.ledger.entry import Entry
from privacy.ledger.store import Ledger
from privacy.study import Study
from silo_node.configuration import Policy


@dataclass(frozen=True)
class Cost:
    """Epsilon at the cap's delta of the cohort: already charged, and after the whole study."""

    before: float
    after: float
    cap: Cap


def round_event(signed: Study, rounds: int = 1) -> DpEvent:
    """The event of `rounds` rounds of a study at one silo.

    Raises:
        StudyError: the study gives no noise for its mechanism.
    """
    steps = signed.training.local_steps * rounds
    if signed.privacy.mechanism == "none":
        return UnprotectedEvent(steps)
    if signed.privacy.noise_multiplier is None:
        raise StudyError("the study has no noise multiplier; it must be signed by 'study sign', which adds it")
    return DpSgdEvent(signed.privacy.sampling_rate, signed.privacy.noise_multiplier, steps)


def budget_filter(policy: Policy) -> BudgetFilter:
    """The filter that guards every cohort of this hospital."""
    return BudgetFilter(
        Cap(policy.max_epsilon, policy.delta),
        allow_unprotected=policy.allow_without_dp,
        epsilon_of=accounting.epsilon_pld,
        second_person=policy.second_person or "",
    )


def study_cost(signed: Study, cohort: str, policy: Policy, ledger: Ledger) -> Cost:
    """What the cohort was charged and would be charged after the whole study."""
    before = charged(ledger.entries, cohort)
    after = (*before, round_event(signed, signed.training.rounds))
    cap = budget_filter(policy).cap(ledger.entries, cohort)
    return Cost(accounting.epsilon_pld(before, cap.delta), accounting.epsilon_pld(after, cap.delta), cap)


def check_spent(cohort: str, policy: Policy, ledger: Ledger) -> None:
    """See that two accountants agree on what the cohort was charged so far, at its cap's delta.

    Raises:
        CollegiumError: they do not (`accountant.disagreement`); nothing may be trained on its figure.
    """
    cap = budget_filter(policy).cap(ledger.entries, cohort)
    accounting.spend(charged(ledger.entries, cohort), cap.delta, with_prv=True)


def check_budget(signed: Study, cohort: str, policy: Policy, ledger: Ledger) -> None:
    """See that the whole study fits in the budget of its cohort, and of all cohorts that share patients with it.

    Raises:
        BudgetExceeded: it does not; says how many of its rounds would.
        PolicyRefused: the cohort was closed, or the study is unprotected, which the hospital does not allow.
    """
    guard, rounds = budget_filter(policy), signed.training.rounds
    whole = round_event(signed, rounds)
    try:
        guard.authorise(ledger.entries, cohort, whole, whole.steps)
    except BudgetExceeded as error:
        raise BudgetExceeded(
            f"the study as a whole is refused, {fitting_rounds(guard, signed, cohort, ledger.entries, rounds)} of its "
            f"{rounds} rounds would fit: {error}",
            code=error.code,
        ) from error


def fitting_rounds(guard: BudgetFilter, signed: Study, cohort: str, entries: tuple[Entry, ...], wanted: int) -> int:
    """How many of `wanted` (at least 1) further rounds of a study the cohort's budget has room for.

    Raises:
        CorruptState: as `BudgetFilter.accounts`.
    """
    event = round_event(signed, wanted)
    if isinstance(event, UnprotectedEvent):
        return 0
    return guard.fitting_steps(entries, cohort, event, event.steps) // signed.training.local_steps

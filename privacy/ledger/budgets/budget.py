"""The privacy filter of a cohort: what was charged to it, and whether more fits under the cap.

A charge is a `reserved` entry. It counts from the moment it is in the ledger, over all studies and
for good, whether or not training followed. Only events are read; an epsilon is computed anew from
all of them together (a fully adaptive filter over the composed events, as in Whitehouse et al.,
ICML 2023, for mechanisms that are fixed before they run). A charge counts for every cohort that shares
a patient with the one that was read (`overlap`), and must fit under the cap of each of them (`caps`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

from privacy.dp.events import DpEvent, DpSgdEvent, UnprotectedEvent, from_json, merge
from privacy.errors import BudgetExceeded, PolicyRefused
from privacy.ledger.budgets.caps import Cap, InForce, in_force
from privacy.ledger.budgets.overlap import Cohorts, same_cohort
from privacy.ledger.entry import Entry
from privacy.ledger.facts.closing import check_open

__all__ = ["Account", "BudgetFilter", "Cap", "EpsilonOf", "charged", "same_cohort"]

EpsilonOf = Callable[[Sequence[DpEvent], float], float]
"""Epsilon of composed events at a delta: `privacy.dp.accounting.epsilon_pld`, non-decreasing in steps."""


@dataclass(frozen=True)
class Account:
    """What one cohort may cost and what was charged to it and to all that overlap it."""

    cohort: str
    cap: Cap
    events: tuple[DpEvent, ...]


def charged(entries: Iterable[Entry], cohort: str) -> tuple[DpEvent, ...]:
    """All that was ever charged to a cohort or to one that may share a patient with it, merged by mechanism.

    Raises:
        CorruptState: an event has an unknown form.
    """
    entries = tuple(entries)
    return _charged(_events(entries), Cohorts(entries).overlapping(cohort))


def _events(entries: Iterable[Entry]) -> tuple[tuple[str, DpEvent], ...]:
    """All charges of a ledger, each with its cohort, in their order."""
    return tuple((str(e.body["cohort"]), from_json(e.body["event"])) for e in entries if e.kind == "reserved")


def _charged(events: Iterable[tuple[str, DpEvent]], names: frozenset[str]) -> tuple[DpEvent, ...]:
    return merge(event for name, event in events if name in names)


class BudgetFilter:
    """Answers from events alone whether a planned event may be reserved.

    Args:
        cap: the hospital's cap where its ledger has none.
        allow_unprotected: whether training without differential privacy is allowed at all.
        epsilon_of: the accountant. It is slow (0.3 s), so how many steps fit is remembered.
        second_person: fingerprint of the key that must consent to a higher cap, or empty.
    """

    def __init__(self, cap: Cap, *, allow_unprotected: bool, epsilon_of: EpsilonOf, second_person: str = "") -> None:
        self._default = cap
        self._allow_unprotected = allow_unprotected
        self._epsilon_of = epsilon_of
        self._second_person = second_person
        # Per cap, mechanism and everything else charged: the most steps known to fit, the fewest known not to.
        self._known: dict[tuple[Cap, float, float, tuple[DpEvent, ...]], tuple[int, int | None]] = {}

    def accounts(self, entries: Iterable[Entry], cohort: str) -> Iterator[Account]:
        """The accounts that a charge to a cohort counts for: its own first, then those of cohorts that overlap it.

        The cap of each is the lowest of all that overlap it.

        Raises:
            CorruptState: the ledger holds an event of unknown form, or a cap that is not what was consented to.
        """
        entries = tuple(entries)
        cohorts, events = Cohorts(entries), _events(entries)
        own: dict[str, Cap] = {}

        def cap(name: str) -> Cap:
            if name not in own:
                own[name] = in_force(entries, cohorts.same(name), self._default, self._second_person).cap
            return own[name]

        for name in (cohort, *sorted(cohorts.overlapping(cohort) - cohorts.same(cohort))):
            names = cohorts.overlapping(name)
            lowest = reduce(Cap.lower, map(cap, names))
            yield Account(name, lowest, _charged(events, names))

    def cap(self, entries: Iterable[Entry], cohort: str) -> Cap:
        """The cap in force for a cohort.

        Raises:
            CorruptState: as `accounts`.
        """
        return next(self.accounts(entries, cohort)).cap

    def own_cap(self, entries: Iterable[Entry], cohort: str) -> InForce:
        """The cap of a cohort by itself, before the lowest of those that overlap it is taken.

        Raises:
            CorruptState: as `accounts`.
        """
        entries = tuple(entries)
        return in_force(entries, Cohorts(entries).same(cohort), self._default, self._second_person)

    def authorise(self, entries: Iterable[Entry], cohort: str, planned: DpEvent, horizon_steps: int) -> None:
        """Allow `planned` to be reserved, or refuse.

        Args:
            entries: the whole ledger.
            cohort: name of the cohort that will be read.
            planned: what would be reserved now.
            horizon_steps: all steps that the study still plans, with these: looked at first, so that the
                rounds of a study that fits as a whole cost one accountant call.

        Raises:
            BudgetExceeded: with `planned` the cohort would exceed the cap.
            PolicyRefused: the cohort was closed, or `planned` is unprotected and the hospital does not allow that.
            CorruptState: as `accounts`.
        """
        entries = tuple(entries)
        check_open(entries, cohort)
        if isinstance(planned, UnprotectedEvent):
            if not self._allow_unprotected:
                raise PolicyRefused(
                    "this study trains without differential privacy, which silo.yaml does not allow; "
                    "ask for a study with privacy, or have the hospital change its policy",
                    code="policy.unprotected",
                )
            return
        for account in self.accounts(entries, cohort):
            named = f"cohort '{account.cohort}'"
            if account.cohort != cohort:
                named += f", which shares patients with '{cohort}',"
            if any(isinstance(event, UnprotectedEvent) for event in account.events):
                raise BudgetExceeded(
                    f"{named} was trained on without differential privacy before, which used up its privacy "
                    "budget for good; nothing was read: use another cohort"
                )
            fitting = self._fitting(account, planned, max(horizon_steps, planned.steps))
            if fitting < planned.steps:
                cap = account.cap
                raise BudgetExceeded(
                    f"the privacy budget of {named} (epsilon {cap.epsilon:g} at delta {cap.delta:g}) "
                    f"has room for {fitting} more steps of this kind and {planned.steps} are asked; nothing was read: "
                    "use another cohort, or a study with more noise or fewer rounds"
                )

    def fitting_steps(self, entries: Iterable[Entry], cohort: str, mechanism: DpSgdEvent, wanted: int) -> int:
        """How many of `wanted` further steps of a mechanism fit under every cap that they count for.

        Args:
            entries: the whole ledger.
            cohort: name of the cohort.
            mechanism: rate and noise count; its own `steps` does not.
            wanted: at least 1.

        Raises:
            CorruptState: as `accounts`.
        """
        return min(self._fitting(account, mechanism, wanted) for account in self.accounts(entries, cohort))

    def _fitting(self, account: Account, mechanism: DpSgdEvent, wanted: int) -> int:
        rate, noise = mechanism.sampling_rate, mechanism.noise_multiplier
        done, others = 0, list[DpEvent]()
        for event in account.events:
            if isinstance(event, DpSgdEvent) and (event.sampling_rate, event.noise_multiplier) == (rate, noise):
                done += event.steps
            else:
                others.append(event)
        cap = account.cap
        key = (cap, rate, noise, tuple(others))
        fits, fails = self._known.get(key, (0, None))

        def within(steps: int) -> bool:
            nonlocal fits, fails
            if steps <= fits:
                return True
            if fails is not None and steps >= fails:
                return False
            composed = (*others, DpSgdEvent(rate, noise, steps))
            # Written so that an accountant that answers NaN refuses.
            if self._epsilon_of(composed, cap.delta) <= cap.epsilon:
                fits = steps
                return True
            fails = steps
            return False

        low, high = 0, wanted
        if not within(done + high):
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if within(done + middle) else (low, middle)
            high = low
        self._known[key] = (fits, fails)
        return high

"""The privacy filter of a cohort: what was charged to it, and whether more fits under the cap.

A charge is a `reserved` entry. It counts from the moment it is in the ledger, over all studies and
for good, whether or not training followed. Only events are read; an epsilon is computed anew from
all of them together (a fully adaptive filter over the composed events, as in Whitehouse et al.,
ICML 2023, for mechanisms that are fixed before they run). Cohort names that were ingested with the
same digest are one cohort. It does not see patients that two different cohorts share.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from privacy.dp.events import DpEvent, DpSgdEvent, UnprotectedEvent, from_json, merge
from privacy.errors import BudgetExceeded, PolicyRefused
from privacy.ledger.entry import Entry

EpsilonOf = Callable[[Sequence[DpEvent], float], float]
"""Epsilon of composed events at a delta: `privacy.dp.accounting.epsilon_pld`, non-decreasing in steps."""


@dataclass(frozen=True)
class Cap:
    """The most that may ever be spent on a cohort; set by the hospital.

    Raises:
        ValueError: epsilon is not positive or delta not in (0, 1).
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        if not (self.epsilon > 0 and 0 < self.delta < 1):
            raise ValueError("a cap has a positive epsilon and a delta between 0 and 1")


def charged(entries: Iterable[Entry], cohort: str) -> tuple[DpEvent, ...]:
    """All that was ever charged to a cohort, merged by mechanism.

    Raises:
        CorruptState: an event has an unknown form.
    """
    entries = tuple(entries)
    names = same_cohort(entries, cohort)
    return merge(
        from_json(entry.body["event"])
        for entry in entries
        if entry.kind == "reserved" and entry.body["cohort"] in names
    )


def same_cohort(entries: Iterable[Entry], cohort: str) -> frozenset[str]:
    """The names under which the patients of `cohort` were ever ingested, itself among them."""
    pairs = [(str(e.body["cohort"]), str(e.body["digest"])) for e in entries if e.kind == "cohort"]
    names, digests = {cohort}, set[str]()
    while True:
        before = len(names) + len(digests)
        digests |= {digest for name, digest in pairs if name in names}
        names |= {name for name, digest in pairs if digest in digests}
        if len(names) + len(digests) == before:
            return frozenset(names)


class BudgetFilter:
    """Answers from events alone whether a planned event may be reserved.

    Args:
        cap: the hospital's cap.
        allow_unprotected: whether training without differential privacy is allowed at all.
        epsilon_of: the accountant. It is slow (0.3 s), so how many steps fit is remembered.
    """

    def __init__(self, cap: Cap, *, allow_unprotected: bool, epsilon_of: EpsilonOf) -> None:
        self._cap = cap
        self._allow_unprotected = allow_unprotected
        self._epsilon_of = epsilon_of
        # Per mechanism and everything else charged: the most steps known to fit, the fewest known not to.
        self._known: dict[tuple[float, float, tuple[DpEvent, ...]], tuple[int, int | None]] = {}

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
            PolicyRefused: `planned` is unprotected and the hospital does not allow that.
            CorruptState: the ledger holds an event of unknown form.
        """
        if isinstance(planned, UnprotectedEvent):
            if not self._allow_unprotected:
                raise PolicyRefused(
                    "this study trains without differential privacy, which silo.yaml does not allow; "
                    "ask for a study with privacy, or have the hospital change its policy",
                    code="policy.unprotected",
                )
            return
        entries = tuple(entries)
        if any(isinstance(event, UnprotectedEvent) for event in charged(entries, cohort)):
            raise BudgetExceeded(
                f"cohort '{cohort}' was trained on without differential privacy before, which used up its privacy "
                "budget for good; nothing was read: use another cohort"
            )
        fitting = self.fitting_steps(entries, cohort, planned, max(horizon_steps, planned.steps))
        if fitting < planned.steps:
            raise BudgetExceeded(
                f"the privacy budget of cohort '{cohort}' (epsilon {self._cap.epsilon:g} at delta {self._cap.delta:g}) "
                f"has room for {fitting} more steps of this kind and {planned.steps} are asked; nothing was read: "
                "use another cohort, or a study with more noise or fewer rounds"
            )

    def fitting_steps(self, entries: Iterable[Entry], cohort: str, mechanism: DpSgdEvent, wanted: int) -> int:
        """How many of `wanted` further steps of a mechanism fit under the cap.

        Args:
            entries: the whole ledger.
            cohort: name of the cohort.
            mechanism: rate and noise count; its own `steps` does not.
            wanted: at least 1.

        Raises:
            CorruptState: the ledger holds an event of unknown form.
        """
        rate, noise = mechanism.sampling_rate, mechanism.noise_multiplier
        done, others = 0, list[DpEvent]()
        for event in charged(entries, cohort):
            if isinstance(event, DpSgdEvent) and (event.sampling_rate, event.noise_multiplier) == (rate, noise):
                done += event.steps
            else:
                others.append(event)
        key = (rate, noise, tuple(others))
        fits, fails = self._known.get(key, (0, None))

        def within(steps: int) -> bool:
            nonlocal fits, fails
            if steps <= fits:
                return True
            if fails is not None and steps >= fails:
                return False
            composed = (*others, DpSgdEvent(rate, noise, steps))
            # Written so that an accountant that answers NaN refuses.
            if self._epsilon_of(composed, self._cap.delta) <= self._cap.epsilon:
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

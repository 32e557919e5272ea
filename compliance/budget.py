"""What was spent on each cohort of a hospital, recomputed from the events of its ledger.

Every epsilon here is computed anew from `reserved` entries; none is read. The accountant is an
argument and each of its answers is computed once, since hospitals of one study ask the same. Also
turns a privacy loss into what an attacker can gain, which is what a person can judge. It checks no
signature (`evidence` did) and writes nothing.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce

from compliance.ledgers import Charge, LedgerEvidence
from privacy.dp.events import DpEvent, merge
from privacy.ledger.budgets.caps import Cap, settings
from privacy.ledger.budgets.overlap import Cohorts
from privacy.ledger.entry import Entry

EpsilonOf = Callable[[Sequence[DpEvent], float], float]
POINTS = 10
"""About how many points of a curve are computed; an accountant call costs a third of a second."""


@dataclass
class Accountant:
    """An accountant that remembers its answers."""

    epsilon_of: EpsilonOf
    _known: dict[tuple[frozenset[DpEvent], float], float] = field(default_factory=dict)

    def epsilon(self, events: Iterable[DpEvent], delta: float) -> float:
        """Epsilon of the composed events; infinite when one is unprotected."""
        history = merge(events)
        # The order of mechanisms does not matter to their composition.
        key = (frozenset(history), delta)
        if key not in self._known:
            self._known[key] = self.epsilon_of(history, delta)
        return self._known[key]

    def attack_success(self, events: Iterable[DpEvent], delta: float) -> float:
        """The most often anybody can be right, of 1, who guesses by any means whether a given patient took part,
        when blind guessing is right half of the time.

        Each pair (epsilon, delta) bounds it by (e^epsilon + delta) / (1 + e^epsilon) (Kairouz, Oh, Viswanath, ICML
        2015); the least bound is near the smallest delta whose epsilon is zero, which is looked for.
        """
        history = merge(events)
        if not history:
            return 0.5
        best = _success(self.epsilon(history, delta), delta)
        low, high = 0.0, 1.0
        for _ in range(4):
            middle = (low + high) / 2
            epsilon = self.epsilon(history, middle)
            best = min(best, _success(epsilon, middle))
            low, high = (low, middle) if epsilon <= 0 else (middle, high)
        return best


@dataclass(frozen=True)
class Point:
    """Spend after the first `charge` charges of a cohort."""

    charge: int
    time: str
    study_digest: str
    round: int
    epsilon: float


@dataclass(frozen=True)
class StudyShare:
    """What one study charged to a cohort.

    At the cap's delta, `epsilon` is that of this study alone and `round_epsilon` that of its last round alone.
    """

    study_digest: str
    rounds: int
    without_result: int
    events: tuple[DpEvent, ...]
    round_epsilon: float | None
    epsilon: float | None


@dataclass(frozen=True)
class CohortBudget:
    """The budget of one cohort.

    A cap and its delta come from the last approval or setting; without one, what needs them is None. What was charged
    to a cohort that overlaps this one is among its charges, and a cap that was set for such a cohort binds this one.

    Attributes:
        names: under which the same patients were ingested.
        overlaps: names of other cohorts that share patients with it, or may.
        cap: epsilon that may be spent at most.
        delta: the cap's.
        caps_seen: (time, epsilon, delta) at the first approval or setting and at each that changed them.
        spent: epsilon of all charges together.
        left: of the cap; a further charge costs less than it would alone.
        attack_success: see `Accountant.attack_success`.
        rounds: number of charges.
        without_result: charges whose training did not finish.
        events: all charges, merged: what `spent` is computed from.
        series: spend over charges.
        studies: what each study charged.
    """

    names: tuple[str, ...]
    overlaps: tuple[str, ...]
    cap: float | None
    delta: float | None
    caps_seen: tuple[tuple[str, float, float], ...]
    spent: float | None
    left: float | None
    attack_success: float | None
    rounds: int
    without_result: int
    events: tuple[DpEvent, ...]
    series: tuple[Point, ...]
    studies: tuple[StudyShare, ...]


def cohorts(ledger: LedgerEvidence, accountant: Accountant) -> tuple[CohortBudget, ...]:
    """The budgets of all cohorts that a ledger knows, in order of first appearance.

    Raises:
        CorruptState: a second person's signature under a cap does not hold.
    """
    kinds = ("cohort", "approved", "budget_set")
    seen = dict.fromkeys(str(entry.body["cohort"]) for entry in ledger.entries if entry.kind in kinds)
    seen |= dict.fromkeys(charge.cohort for charge in ledger.charges)
    known = Cohorts(ledger.entries)
    groups = dict.fromkeys(known.same(name) for name in seen)
    return tuple(
        _cohort(
            ledger,
            tuple(name for name in seen if name in group),
            tuple(name for name in seen if name in known.overlapping(min(group)) - group),
            accountant,
        )
        for group in groups
    )


def _cohort(
    ledger: LedgerEvidence, names: tuple[str, ...], overlaps: tuple[str, ...], accountant: Accountant
) -> CohortBudget:
    entries = ledger.entries
    charges = tuple(charge for charge in ledger.charges if charge.cohort in (*names, *overlaps))
    caps = _caps(entries, names)
    cap, delta = _in_force(entries, caps, overlaps)
    events = merge(charge.event for charge in charges)
    spent = accountant.epsilon(events, delta) if delta else None
    return CohortBudget(
        names=names,
        overlaps=overlaps,
        cap=cap,
        delta=delta,
        caps_seen=tuple(seen for i, seen in enumerate(caps) if i == 0 or seen[1:] != caps[i - 1][1:]),
        spent=spent,
        left=None if cap is None or spent is None else max(0.0, cap - spent),
        attack_success=accountant.attack_success(events, delta) if delta else None,
        rounds=len(charges),
        without_result=sum(not charge.spent for charge in charges),
        events=events,
        series=_series(charges, delta, accountant) if delta else (),
        studies=_shares(charges, accountant, delta),
    )


def _caps(entries: Sequence[Entry], names: tuple[str, ...]) -> tuple[tuple[str, float, float], ...]:
    """The caps of a cohort as approvals state them and as the hospital set them, in order; second signatures hold."""
    found = []
    for entry in entries:
        if entry.body.get("cohort") not in names:
            continue
        if entry.kind == "approved":
            found.append((entry.time, _number(entry.body["cap_epsilon"]), _number(entry.body["cap_delta"])))
        for setting in settings((entry,)):
            found.append((entry.time, setting.request.cap.epsilon, setting.request.cap.delta))
    return tuple(found)


def _in_force(
    entries: Sequence[Entry], caps: tuple[tuple[str, float, float], ...], overlaps: tuple[str, ...]
) -> tuple[float | None, float | None]:
    """The newest cap, or a lower one that was set for a cohort that overlaps."""
    newest = [Cap(*caps[-1][1:])] if caps else []
    for name in overlaps:
        newest += [s.request.cap for s in settings(e for e in entries if e.body.get("cohort") == name)][-1:]
    if not newest:
        return None, None
    lowest = reduce(Cap.lower, newest)
    return lowest.epsilon, lowest.delta


def _shares(charges: Sequence[Charge], accountant: Accountant, delta: float | None) -> tuple[StudyShare, ...]:
    shares = []
    for digest in dict.fromkeys(charge.study_digest for charge in charges):
        own = [charge for charge in charges if charge.study_digest == digest]
        shares.append(
            StudyShare(
                digest,
                len(own),
                sum(not charge.spent for charge in own),
                merge(charge.event for charge in own),
                accountant.epsilon((own[-1].event,), delta) if delta else None,
                accountant.epsilon((charge.event for charge in own), delta) if delta else None,
            )
        )
    return tuple(shares)


def _series(charges: Sequence[Charge], delta: float, accountant: Accountant) -> tuple[Point, ...]:
    points = []
    for count in sampled(len(charges)):
        last = charges[count - 1]
        epsilon = accountant.epsilon((charge.event for charge in charges[:count]), delta)
        points.append(Point(count, last.time, last.study_digest, last.round, epsilon))
    return tuple(points)


def sampled(count: int) -> tuple[int, ...]:
    """The numbers of charges at which a curve is computed: the first, the last and round numbers between.

    Round numbers, so that hospitals whose histories differ by a few rounds share most points.
    """
    if count == 0:
        return ()
    stride = next(s * 10**e for e in range(20) for s in (1, 2, 5) if s * 10**e * POINTS >= count)
    return tuple(dict.fromkeys((1, *range(stride, count, stride), count)))


def _success(epsilon: float, delta: float) -> float:
    # (e^epsilon + delta) / (1 + e^epsilon), written so that a large epsilon does not overflow.
    small = math.exp(-epsilon)
    return min(1.0, (1 + delta * small) / (1 + small))


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError("the ledger's reader lets only numbers through here")
    return float(value)

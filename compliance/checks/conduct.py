"""What each hospital's ledger shows of its budget over time: approved, then reserved, then spent, never above the cap.

The cap at an instant is the last `budget_set` of the cohort before it; without one, what the last approval recorded
(the hospital's default is in no ledger). Nothing here trusts a figure: an epsilon is computed from events.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

from compliance.budget import Accountant
from compliance.checks.check import Check, conclude
from compliance.checks.ledgers import is_silo, name_of
from privacy.dp.events import UnprotectedEvent, from_json, merge
from privacy.ledger.budgets.caps import Cap, settings
from privacy.ledger.budgets.overlap import Cohorts
from privacy.ledger.entry import Entry
from privacy.ledger.reader import VerifiedLedger

_SLACK = 1 + 1e-9
_BREAKS = ("cohort", "approved", "budget_set")
"""Entries after which another cap may hold, or a charge count for other cohorts."""


def order(ledgers: Sequence[VerifiedLedger]) -> Check:
    """Nothing is charged to a cohort that was not approved before, and nothing spent that was not reserved before."""
    return conclude("order", (problem for ledger in ledgers for problem in _disorder(ledger)))


def _disorder(ledger: VerifiedLedger) -> Iterator[str]:
    approved, reserved = set[tuple[object, object]](), dict[tuple[object, ...], object]()
    for entry in ledger.entries:
        where = f"entry {entry.sequence} of {name_of(ledger)}"
        if entry.kind == "approved":
            approved.add((entry.body["study_digest"], entry.body["cohort"]))
        if entry.kind not in ("reserved", "spent"):
            continue
        study, cohort = entry.body["study_digest"], entry.body["cohort"]
        charge = (study, entry.body["round"], cohort)
        if entry.kind == "reserved":
            reserved[charge] = entry.body["event"]
            if (study, cohort) not in approved:
                yield f"{where} charges cohort '{cohort}' for a study that was not approved for it before"
        elif reserved.get(charge) != entry.body["event"]:
            yield f"{where} spends from cohort '{cohort}' what was not reserved for it before"


def caps(ledgers: Sequence[VerifiedLedger], accountant: Accountant) -> Check:
    """No charge ever exceeded the cap that held at its time, for its cohort and all that share patients with it."""
    silos = [ledger for ledger in ledgers if is_silo(ledger)]
    return conclude("caps", (problem for ledger in silos for problem in _exceeded(ledger, accountant)))


def consents(ledgers: Sequence[VerifiedLedger]) -> Check:
    """The second signature under each cap that has one holds, and no approval recorded a higher cap than was set."""
    problems, gaps = [], []
    for ledger in ledgers:
        name, before = name_of(ledger), dict[str, Cap]()
        signed = {setting.sequence: setting for setting in settings(ledger.entries)}
        for entry in ledger.entries:
            cohort = str(entry.body.get("cohort"))
            if entry.kind == "approved":
                cap = _cap(entry, "cap_epsilon", "cap_delta")
                if cohort in before and cap.raises(before[cohort]):
                    problems.append(f"entry {entry.sequence} of {name} approves with a higher cap than was set")
            elif setting := signed.get(entry.sequence):
                if cohort in before and setting.request.cap.raises(before[cohort]) and not setting.second:
                    gaps.append(f"{name} raised the cap of cohort '{cohort}' on one person's word")
                before[cohort] = setting.request.cap
    return conclude("consents", problems, gaps)


@dataclass(frozen=True)
class _Stretch:
    """The last protected charge of a cohort before cap or cohorts changed: none before it in the stretch cost more."""

    at: int
    cohort: str


def _exceeded(ledger: VerifiedLedger, accountant: Accountant) -> Iterator[str]:
    entries = ledger.entries
    for stretch in _stretches(entries):
        before = entries[: stretch.at + 1]
        cohorts = Cohorts(before)
        for name in sorted({stretch.cohort, *cohorts.overlapping(stretch.cohort)}):
            names = cohorts.overlapping(name)
            known = [cap for one in sorted(names) if (cap := _in_force(before, cohorts.same(one), names)) is not None]
            if not known:
                yield f"entry {stretch.at} of {name_of(ledger)} charges cohort '{name}', for which no cap is known"
                continue
            cap = reduce(Cap.lower, known)
            events = merge(
                from_json(entry.body["event"])
                for entry in before
                if entry.kind == "reserved" and entry.body["cohort"] in names
            )
            spent = accountant.epsilon(events, cap.delta)
            # Written so that an accountant that answers NaN fails.
            if not spent <= cap.epsilon * _SLACK:
                yield (
                    f"with entry {stretch.at} of {name_of(ledger)} epsilon {spent:.4g} was spent on cohort '{name}', "
                    f"above its cap of {cap.epsilon:g} at delta {cap.delta:g}"
                )


def _stretches(entries: Sequence[Entry]) -> Iterator[_Stretch]:
    last: dict[str, int] = {}
    for entry in entries:
        if entry.kind in _BREAKS:
            yield from (_Stretch(at, cohort) for cohort, at in last.items())
            last.clear()
        # A hospital that allows training without protection sets no cap on it; a protected charge after one fails.
        elif entry.kind == "reserved" and not isinstance(from_json(entry.body["event"]), UnprotectedEvent):
            last[str(entry.body["cohort"])] = entry.sequence
    yield from (_Stretch(at, cohort) for cohort, at in last.items())


def _in_force(entries: Sequence[Entry], names: frozenset[str], sharing: frozenset[str]) -> Cap | None:
    """The cap of the cohort called `names` by itself; None if it is not known, as after one that shares patients was
    set anew."""
    approved = None
    for entry in reversed(entries):
        if entry.kind == "budget_set" and entry.body["cohort"] in names:
            return _cap(entry, "epsilon", "delta")
        if entry.kind == "budget_set" and entry.body["cohort"] in sharing and approved is None:
            return None
        if entry.kind == "approved" and entry.body["cohort"] in names and approved is None:
            approved = entry
    return _cap(approved, "cap_epsilon", "cap_delta") if approved else None


def _cap(entry: Entry, epsilon: str, delta: str) -> Cap:
    return Cap(float(str(entry.body[epsilon])), float(str(entry.body[delta])))

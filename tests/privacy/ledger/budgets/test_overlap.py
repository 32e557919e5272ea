"""Which cohorts share patients, and that the sum over direct neighbours bounds what any one patient was charged."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.digest import Json
from privacy.dp.events import DpSgdEvent
from privacy.errors import BudgetExceeded
from privacy.ledger.budgets.budget import BudgetFilter, Cap, charged
from privacy.ledger.budgets.overlap import Cohorts
from privacy.ledger.entry import Entry
from tests.privacy.ledger.budgets.test_budget import STEP, Accountant, entry, reserved, steps


def cohort(name: str, *overlaps: str, digest: str = "") -> Entry:
    return entry("cohort", {"cohort": name, "digest": digest or name, "overlaps": list(overlaps)})


CHAIN = (cohort("chest"), cohort("lung", "chest"), cohort("spine", "lung"), cohort("hand"))


def test_overlap_goes_both_ways_and_one_step() -> None:
    known = Cohorts(CHAIN)
    assert known.overlapping("chest") == {"chest", "lung"}
    assert known.overlapping("lung") == {"chest", "lung", "spine"}
    assert known.overlapping("spine") == {"lung", "spine"}
    assert known.overlapping("hand") == {"hand"}
    assert known.overlapping("unknown") == {"unknown"}
    assert "hand" in known
    assert "unknown" not in known


def test_the_same_patients_overlap_what_their_other_name_does() -> None:
    known = Cohorts([cohort("chest", digest="d"), cohort("lung", "chest"), cohort("thorax", digest="d")])
    assert known.same("thorax") == {"chest", "thorax"}
    assert known.overlapping("thorax") == {"chest", "thorax", "lung"}
    assert known.overlapping("lung") == {"chest", "thorax", "lung"}


def test_an_entry_that_says_nothing_overlaps_all_before_it() -> None:
    bare: dict[str, Json] = {"cohort": "old", "digest": "o"}
    known = Cohorts([cohort("chest"), cohort("hand"), entry("cohort", bare), cohort("spine")])
    assert known.overlapping("old") == {"chest", "hand", "old"}
    assert known.overlapping("chest") == {"chest", "old"}
    assert known.overlapping("spine") == {"spine"}


def test_a_charge_counts_for_every_cohort_that_shares_a_patient() -> None:
    entries = [*CHAIN, reserved(steps(4), cohort="chest"), reserved(steps(5), cohort="spine", round_number=2)]
    assert charged(entries, "chest") == (steps(4),)
    assert charged(entries, "lung") == (steps(9),)
    assert charged(entries, "spine") == (steps(5),)
    assert charged(entries, "hand") == ()


def test_a_charge_must_fit_under_every_cap_that_it_counts_for() -> None:
    entries = [*CHAIN, reserved(steps(12), cohort="lung"), reserved(steps(6), cohort="chest")]
    guard = BudgetFilter(Cap(1.25, 1e-5), allow_unprotected=False, epsilon_of=Accountant())  # 20 steps
    # 12 of lung are all that reached spine's patients, but lung's own patients have 18.
    assert guard.fitting_steps(entries, "spine", STEP, 50) == 2
    guard.authorise(entries, "spine", steps(2), 2)
    with pytest.raises(BudgetExceeded, match="cohort 'lung', which shares patients with 'spine',"):
        guard.authorise(entries, "spine", steps(3), 3)
    assert guard.fitting_steps(entries, "hand", STEP, 50) == 20


@st.composite
def histories(draw: st.DrawFn) -> tuple[Sequence[frozenset[int]], list[tuple[int, int]]]:
    """Cohorts as sets of patients, and charges (cohort, steps)."""
    cohorts = draw(st.lists(st.frozensets(st.integers(0, 7), min_size=1), min_size=1, max_size=5))
    charges = draw(st.lists(st.tuples(st.integers(0, len(cohorts) - 1), st.integers(1, 6)), max_size=12))
    return cohorts, charges


@given(histories())
def test_no_patient_is_ever_charged_more_than_the_cap(
    history: tuple[Sequence[frozenset[int]], list[tuple[int, int]]],
) -> None:
    cohorts, charges = history
    entries = [
        cohort(f"c{i}", *(f"c{j}" for j in range(i) if not members.isdisjoint(cohorts[j])))
        for i, members in enumerate(cohorts)
    ]
    guard = BudgetFilter(Cap(0.5, 1e-5), allow_unprotected=False, epsilon_of=Accountant())  # 8 steps
    reached = dict.fromkeys(range(8), 0)
    for number, (which, count) in enumerate(charges):
        try:
            guard.authorise(entries, f"c{which}", steps(count), count)
        except BudgetExceeded:
            continue
        entries.append(reserved(steps(count), cohort=f"c{which}", round_number=number))
        for patient in cohorts[which]:
            reached[patient] += count
        for index, members in enumerate(cohorts):
            bound = sum(e.steps for e in charged(entries, f"c{index}") if isinstance(e, DpSgdEvent))
            assert max(reached[patient] for patient in members) <= bound <= 8

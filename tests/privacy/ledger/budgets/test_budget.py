import math
from collections.abc import Iterable, Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from privacy.digest import Json
from privacy.dp.events import DpEvent, DpSgdEvent, UnprotectedEvent, to_json
from privacy.errors import BudgetExceeded, CorruptState, PolicyRefused
from privacy.ledger.budgets.budget import BudgetFilter, Cap, charged, same_cohort
from privacy.ledger.entry import Entry
from privacy.ledger.store import Ledger

STEP = DpSgdEvent(0.125, 2.0, 1)
OTHER = DpSgdEvent(0.25, 2.0, 1)


class Accountant:
    """A cheap stand-in: rate over noise, a step (a sixteenth for STEP, exact in floats); counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, events: Sequence[DpEvent], delta: float) -> float:
        self.calls += 1
        total = 0.0
        for event in events:
            if isinstance(event, UnprotectedEvent):
                return math.inf
            total += event.steps * event.sampling_rate / event.noise_multiplier
        return total


def entry(kind: str, body: dict[str, Json]) -> Entry:
    return Entry(0, "2026-03-01T12:00:00.000000Z", kind, body, "00" * 32, "00" * 64)


def reserved(event: DpEvent, cohort: str = "chest", study: str = "s1", round_number: int = 1) -> Entry:
    body: dict[str, Json] = {"study_digest": study, "cohort": cohort, "round": round_number, "event": to_json(event)}
    return entry("reserved", body)


def ingested(cohort: str, digest: str) -> Entry:
    return entry("cohort", {"cohort": cohort, "digest": digest, "overlaps": []})


def budget(epsilon: float = 1.25, *, allow: bool = False, epsilon_of: Accountant | None = None) -> BudgetFilter:
    return BudgetFilter(Cap(epsilon, 1e-5), allow_unprotected=allow, epsilon_of=epsilon_of or Accountant())


def steps(count: int, event: DpSgdEvent = STEP) -> DpSgdEvent:
    return DpSgdEvent(event.sampling_rate, event.noise_multiplier, count)


def test_a_reservation_counts_although_nothing_was_spent() -> None:
    entries = [reserved(steps(4), round_number=1), reserved(steps(4), round_number=2)]
    assert charged(entries, "chest") == (steps(8),)


def test_spent_entries_do_not_count_twice() -> None:
    charge = reserved(steps(4))
    assert charged([charge, entry("spent", dict(charge.body))], "chest") == (steps(4),)


def test_charges_compose_over_studies_and_not_over_cohorts() -> None:
    entries = [
        reserved(steps(4), study="s1"),
        reserved(steps(3, OTHER), study="s2"),
        reserved(steps(2), study="s3"),
        reserved(steps(9), cohort="abdomen"),
    ]
    assert charged(entries, "chest") == (steps(6), steps(3, OTHER))
    assert charged(entries, "abdomen") == (steps(9),)
    assert charged(entries, "unknown") == ()


def test_the_same_patients_under_another_name_are_the_same_cohort() -> None:
    entries = [
        ingested("chest", "d1"),
        ingested("thorax", "d1"),
        ingested("thorax", "d2"),
        ingested("lungs", "d2"),
        ingested("abdomen", "d3"),
        reserved(steps(4), cohort="chest"),
        reserved(steps(1), cohort="lungs"),
    ]
    assert same_cohort(entries, "lungs") == {"chest", "thorax", "lungs"}
    assert charged(entries, "thorax") == (steps(5),)
    assert charged(entries, "abdomen") == ()


def test_it_refuses_before_the_cap_is_exceeded() -> None:
    # 20 steps are exactly the cap.
    entries = [reserved(steps(17))]
    budget().authorise(entries, "chest", steps(3), 3)
    with pytest.raises(BudgetExceeded, match="3 more steps of this kind and 4 are asked") as caught:
        budget().authorise(entries, "chest", steps(4), 4)
    assert caught.value.exit_code == 5


def test_a_round_that_fits_is_allowed_although_the_study_does_not() -> None:
    budget().authorise([reserved(steps(10))], "chest", steps(5), 1000)


def test_other_studies_leave_less() -> None:
    accountant = budget()
    assert accountant.fitting_steps([], "chest", STEP, 100) == 20
    assert accountant.fitting_steps([reserved(steps(4, OTHER))], "chest", STEP, 100) == 12
    assert accountant.fitting_steps([reserved(steps(10, OTHER))], "chest", STEP, 100) == 0
    assert accountant.fitting_steps([reserved(steps(99, OTHER))], "chest", STEP, 100) == 0
    assert accountant.fitting_steps([], "chest", STEP, 7) == 7


def test_a_changed_cap_counts_from_the_next_question() -> None:
    entries = [reserved(steps(19))]
    budget(1.25).authorise(entries, "chest", steps(1), 1)
    with pytest.raises(BudgetExceeded):
        budget(0.5).authorise(entries, "chest", steps(1), 1)
    budget(2.5).authorise(entries, "chest", steps(20), 20)


def test_unprotected_training_needs_the_hospitals_word() -> None:
    with pytest.raises(PolicyRefused, match=r"silo\.yaml"):
        budget().authorise([], "chest", UnprotectedEvent(1), 1)
    budget(allow=True).authorise([], "chest", UnprotectedEvent(1), 1)


def test_unprotected_training_exhausts_the_budget_for_good() -> None:
    entries = [reserved(UnprotectedEvent(1))]
    for allow in (False, True):
        with pytest.raises(BudgetExceeded, match="without differential privacy"):
            budget(1e9, allow=allow).authorise(entries, "chest", steps(1), 1)
    assert budget(1e9).fitting_steps(entries, "chest", STEP, 5) == 0
    budget(allow=True).authorise(entries, "chest", UnprotectedEvent(1), 1)
    budget().authorise(entries, "abdomen", steps(1), 1)


def test_a_study_that_fits_costs_one_accountant_call() -> None:
    accountant = Accountant()
    filter_ = budget(epsilon_of=accountant)
    entries: list[Entry] = []
    for number in range(20):
        filter_.authorise(entries, "chest", steps(1), 20 - number)
        entries.append(reserved(steps(1), round_number=number))
    assert accountant.calls == 1
    for _ in range(3):
        with pytest.raises(BudgetExceeded):
            filter_.authorise(entries, "chest", steps(1), 1)
    assert accountant.calls == 2


def test_a_study_that_does_not_fit_costs_a_bisection() -> None:
    accountant = Accountant()
    filter_ = budget(epsilon_of=accountant)
    entries: list[Entry] = []
    for number in range(20):
        filter_.authorise(entries, "chest", steps(1), 1000 - number)
        entries.append(reserved(steps(1), round_number=number))
    with pytest.raises(BudgetExceeded):
        filter_.authorise(entries, "chest", steps(1), 980)
    assert accountant.calls <= 12


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 80), st.floats(0.05, 4.0))
def test_bisection_equals_brute_force(done: int, others: int, wanted: int, cap: float) -> None:
    entries = [reserved(steps(done))] if done else []
    entries += [reserved(steps(others, OTHER))] if others else []
    accountant = Accountant()
    history = charged(entries, "chest")
    expected = 0
    for count in range(1, wanted + 1):
        if accountant([*history, steps(count)], 1e-5) > cap:
            break
        expected = count
    filter_ = budget(cap)
    assert filter_.fitting_steps(entries, "chest", STEP, wanted) == expected
    assert filter_.fitting_steps(entries, "chest", STEP, wanted) == expected


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.floats(0.05, 2.0))
def test_no_sequence_of_allowed_rounds_exceeds_the_cap(rounds: Iterable[int], cap: float) -> None:
    filter_, entries, accountant = budget(cap), list[Entry](), Accountant()
    for number, count in enumerate(rounds):
        try:
            filter_.authorise(entries, "chest", steps(count), 40)
        except BudgetExceeded:
            continue
        entries.append(reserved(steps(count), round_number=number))
    assert accountant(charged(entries, "chest"), 1e-5) <= cap


def test_an_accountant_that_does_not_know_refuses() -> None:
    filter_ = BudgetFilter(Cap(1.0, 1e-5), allow_unprotected=False, epsilon_of=lambda events, delta: math.nan)
    with pytest.raises(BudgetExceeded):
        filter_.authorise([], "chest", steps(1), 1)


def test_an_event_of_unknown_form_is_not_guessed() -> None:
    charge = reserved(STEP)
    with pytest.raises(CorruptState):
        charged([entry("reserved", {**charge.body, "event": {"mechanism": "laplace"}})], "chest")


@pytest.mark.parametrize(("epsilon", "delta"), [(0, 1e-5), (-1, 1e-5), (math.nan, 1e-5), (1, 0), (1, 1)])
def test_a_cap_is_positive(epsilon: float, delta: float) -> None:
    with pytest.raises(ValueError, match="cap"):
        Cap(epsilon, delta)


def test_it_reads_a_real_ledger(ledger: Ledger, key: Ed25519PrivateKey) -> None:
    ledger.append("reserved", reserved(steps(4)).body)
    assert charged(ledger.entries, "chest") == (steps(4),)

import math
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from compliance.budget import Accountant, CohortBudget, cohorts, sampled
from compliance.ledgers import Reader
from privacy.digest import Json
from privacy.dp import accounting
from privacy.dp.events import DpEvent, DpSgdEvent, UnprotectedEvent
from privacy.errors import CorruptState
from privacy.ledger.budgets.caps import Cap, Request
from tests.compliance.evidence import Consortium, cheap


def budgets(consortium: Consortium, silo: str, accountant: Accountant | None = None) -> tuple[CohortBudget, ...]:
    return cohorts(Reader().read(consortium.root / silo / "ledger", silo), accountant or Accountant(cheap))


def test_the_spend_is_recomputed_from_reservations(trained: Consortium) -> None:
    (cohort,) = budgets(trained, "gamma")
    assert cohort.names == ("chest",)
    assert (cohort.rounds, cohort.without_result) == (5, 1)
    assert cohort.events == (DpSgdEvent(0.118, 1.45, 5),)
    assert cohort.spent == cheap(cohort.events, 1e-4)
    assert (cohort.cap, cohort.delta) == (8.0, 1e-4)
    assert cohort.left == 8.0 - (cohort.spent or 0)
    (share,) = cohort.studies
    assert (share.study_digest, share.rounds, share.without_result) == (trained.study.digest().hex(), 5, 1)
    assert share.epsilon == cohort.spent
    assert [point.charge for point in cohort.series] == [1, 2, 3, 4, 5]
    assert cohort.series[-1].epsilon == cohort.spent


def test_studies_compose_on_a_cohort_and_cohorts_do_not(trained: Consortium) -> None:
    second = Consortium(trained.root, keys=trained.keys, name="second", now=trained.now)
    second.approve("alpha", cap=5.0)
    second.train("alpha", 1)
    second.approve("alpha", cohort="abdomen")
    chest, abdomen = budgets(trained, "alpha")
    assert [share.rounds for share in chest.studies] == [5, 1]
    assert chest.rounds == 6
    assert chest.cap == 5.0
    assert [cap for _, cap, _ in chest.caps_seen] == [8.0, 5.0]
    assert (abdomen.names, abdomen.rounds, abdomen.spent, abdomen.attack_success) == (("abdomen",), 0, 0.0, 0.5)


def test_what_cohorts_share_is_charged_to_both_and_the_lower_cap_holds(trained: Consortium) -> None:
    with trained.ledger("alpha") as ledger:
        for name, overlaps in (("again", ["chest"]), ("hand", list[Json]())):
            ledger.append("cohort", {**trained._cohort("alpha", name), "overlaps": overlaps})
    trained.train("alpha", 6, cohort="again")
    trained.train("alpha", 7, cohort="hand")
    with trained.ledger("alpha") as ledger:
        ledger.append("budget_set", Request("again", Cap(3.0, 1e-5), "why", "who").body(None, *ledger.head()))
    chest, again, hand = budgets(trained, "alpha")
    assert (chest.overlaps, again.overlaps, hand.overlaps) == (("again",), ("chest",), ())
    assert (chest.rounds, again.rounds, hand.rounds) == (6, 6, 1)
    assert (chest.cap, chest.delta) == (again.cap, again.delta) == (3.0, 1e-5)
    assert chest.spent == again.spent == cheap(chest.events, 1e-5)
    assert (hand.cap, hand.spent) == (None, None)


def test_a_cap_that_was_set_after_an_approval_is_shown(trained: Consortium) -> None:
    for epsilon in (4.0, 12.0):
        with trained.ledger("alpha") as ledger:
            ledger.append("budget_set", Request("chest", Cap(epsilon, 1e-4), "why", "who").body(None, *ledger.head()))
    (chest,) = budgets(trained, "alpha")
    assert chest.cap == 12.0
    assert [cap for _, cap, _ in chest.caps_seen] == [8.0, 4.0, 12.0]


def test_a_second_signature_that_is_not_valid_makes_no_report(trained: Consortium) -> None:
    with trained.ledger("alpha") as ledger:
        body = Request("chest", Cap(12.0, 1e-4), "why", "who").body(Ed25519PrivateKey.generate(), *ledger.head())
        ledger.append("budget_set", {**body, "epsilon": 13.0})
    with pytest.raises(CorruptState, match="second signature that is not valid"):
        budgets(trained, "alpha")


def test_without_an_approval_nothing_is_claimed(consortium: Consortium) -> None:
    consortium.train("alpha", 1)
    (cohort,) = budgets(consortium, "alpha")
    assert (cohort.cap, cohort.spent, cohort.left, cohort.attack_success) == (None, None, None, None)
    assert cohort.series == ()
    assert cohort.studies[0].epsilon is None


def test_unprotected_training_has_no_limit(consortium: Consortium) -> None:
    consortium.protected = False
    consortium.approve("alpha")
    consortium.train("alpha", 1)
    (cohort,) = budgets(consortium, "alpha")
    assert (cohort.spent, cohort.left, cohort.attack_success) == (math.inf, 0.0, 1.0)


def test_equal_histories_are_computed_once(trained: Consortium) -> None:
    calls: list[object] = []

    def counted(events: Sequence[DpEvent], delta: float) -> float:
        calls.append((tuple(events), delta))
        return cheap(events, delta)

    accountant = Accountant(counted)
    for silo in ("alpha", "beta", "gamma"):
        budgets(trained, silo, accountant)
    assert len(calls) == len(set(map(str, calls))) <= 5 + 4


@given(st.integers(0, 5000))
def test_a_curve_has_few_points_and_both_ends(count: int) -> None:
    points = sampled(count)
    assert len(points) <= 12
    assert list(points) == sorted(set(points))
    if count:
        assert (points[0], points[-1]) == (1, count)


def test_the_attackers_success_is_a_bound() -> None:
    # The Gaussian mechanism of one step without sampling: the best guess is right with probability Phi(1 / (2 sigma)).
    for sigma in (0.7, 1.5, 4.0):
        exact = 0.5 * (1 + math.erf(1 / (2 * sigma) / math.sqrt(2)))
        bound = Accountant(accounting.epsilon_pld).attack_success([DpSgdEvent(1.0, sigma, 1)], 1e-4)
        assert exact - 1e-6 <= bound <= exact + 0.02


def test_the_attackers_success_has_its_ends() -> None:
    accountant = Accountant(cheap)
    assert accountant.attack_success([], 1e-4) == 0.5
    assert accountant.attack_success([UnprotectedEvent(1)], 1e-4) == 1.0
    huge = Accountant(lambda events, delta: 5000.0).attack_success([DpSgdEvent(1, 1, 1)], 1e-4)
    assert huge == pytest.approx(1.0)

from dataclasses import replace

import pytest

from compliance.budget import Accountant, cohorts
from compliance.ledgers import Reader
from compliance.limits import DELTAS, Limits, limits
from privacy.dp.events import to_json
from tests.compliance.evidence import Consortium, cheap


def made(consortium: Consortium, silo: str = "alpha", *, found: bool = True) -> Limits:
    ledger, accountant = Reader().read(consortium.root / silo / "ledger", silo), Accountant(cheap)
    studies = {consortium.study.digest().hex(): consortium.study} if found else {}
    return limits(ledger, cohorts(ledger, accountant)[0], studies, accountant)


def test_the_curve_falls_with_delta(trained: Consortium) -> None:
    curve = made(trained).curve
    assert tuple(point.delta for point in curve) == DELTAS
    assert [point.epsilon for point in curve] == sorted(point.epsilon for point in curve)
    assert curve[0].epsilon == pytest.approx(cheap((replace(trained.event, steps=5),), 1e-3))


def test_the_forecast_counts_what_is_still_planned(trained: Consortium) -> None:
    forecast = made(trained).forecast
    assert forecast is not None
    assert (forecast.rounds, forecast.fits) == (15, True)
    assert forecast.epsilon == pytest.approx(cheap((replace(trained.event, steps=20),), 1e-4))
    assert made(trained, found=False).forecast is None


def test_a_study_that_will_not_fit_is_forecast_so(consortium: Consortium) -> None:
    consortium.rounds = 200
    consortium.approve("alpha")
    forecast = made(consortium).forecast
    assert forecast is not None
    assert (forecast.rounds, forecast.fits) == (200, False)
    assert made(consortium).curve == ()


def test_without_protection_nothing_fits(consortium: Consortium) -> None:
    consortium.protected = False
    consortium.approve("alpha")
    consortium.train("alpha", 1)
    found = made(consortium)
    assert found.forecast is not None
    assert (found.forecast.epsilon, found.forecast.fits) == (float("inf"), False)
    assert found.hard_stop.held is False


def test_the_hard_stop_is_looked_at_under_each_cap(trained: Consortium) -> None:
    stop = made(trained).hard_stop
    assert (stop.held, stop.looked_at, stop.reserved_first, stop.refusals) == (True, 1, True, {})
    budget = {"cohort": "chest", "delta": 1e-4, "reason": "lower", "by": "ada", "second": "", "second_signature": ""}
    # Lower than what is spent: that no more was charged since is what the stop is about.
    trained.write("alpha", "budget_set", epsilon=0.1, **budget)
    assert made(trained).hard_stop.held is True
    trained.write("alpha", "refused", study_digest="ab", code="budget.exceeded", reason="no room")
    assert made(trained).hard_stop.refusals == {"budget.exceeded": 1}
    trained.train("alpha", 6)
    stop = made(trained).hard_stop
    assert (stop.held, stop.looked_at) == (False, 2)


def test_a_raise_after_the_fact_hides_nothing(trained: Consortium) -> None:
    budget = {"cohort": "chest", "delta": 1e-4, "reason": "x", "by": "ada", "second": "", "second_signature": ""}
    trained.write("alpha", "budget_set", epsilon=0.1, **budget)
    trained.train("alpha", 6)
    trained.write("alpha", "budget_set", epsilon=50.0, **budget)
    trained.train("alpha", 7)
    stop = made(trained).hard_stop
    assert (stop.held, stop.looked_at) == (False, 3)


def test_a_charge_before_any_cap_is_not_shown(consortium: Consortium) -> None:
    body = {"study_digest": "ab", "round": 1, "cohort": "chest", "event": to_json(consortium.event)}
    consortium.write("alpha", "reserved", **body)
    consortium.write("alpha", "spent", **body)
    assert made(consortium).hard_stop.held is None

"""What a study costs: of which events, on top of what was charged, as two accountants agree."""

import pytest

from privacy.dp import accounting
from privacy.dp.events import DpSgdEvent, UnprotectedEvent, to_json
from privacy.errors import CollegiumError, StudyError
from silo_node.approvals import checks, costs
from tests.privacy.studies import study
from tests.silo_node.approvals.hospital import NO_DP, OPEN, Site, with_noise


def charge(site: Site) -> None:
    event = to_json(DpSgdEvent(0.25, 2.0, 20))
    site.ledger.append("reserved", {"study_digest": "ab" * 32, "cohort": "chest", "round": 1, "event": event})


def test_accountants_that_agree_on_what_was_charged_let_the_silo_go_on(site: Site) -> None:
    costs.check_spent("chest", OPEN, site.ledger)
    charge(site)
    costs.check_spent("chest", OPEN, site.ledger)


@pytest.mark.parametrize("off", [-0.03, 0.03])
def test_accountants_that_disagree_stop_the_silo(site: Site, monkeypatch: pytest.MonkeyPatch, off: float) -> None:
    """On the study's own claim, and on what the cohort was charged before."""
    charge(site)
    monkeypatch.setattr(accounting, "_prv", lambda events, delta: accounting.epsilon_pld(events, delta) + off)
    for check in (
        lambda: checks.check_claims(with_noise(4.0)),
        lambda: costs.check_spent("chest", OPEN, site.ledger),
    ):
        with pytest.raises(CollegiumError) as caught:
            check()
        assert caught.value.code == "accountant.disagreement"


def test_an_event_is_of_the_steps_of_the_rounds() -> None:
    assert costs.round_event(study()) == DpSgdEvent(0.25, 2.0, 1)
    assert costs.round_event(study(), 20) == DpSgdEvent(0.25, 2.0, 20)
    assert costs.round_event(study(privacy=NO_DP), 7) == UnprotectedEvent(7)
    with pytest.raises(StudyError, match="no noise multiplier"):
        costs.round_event(with_noise(None))


def test_the_cost_counts_what_was_reserved_before(site: Site) -> None:
    fresh = costs.study_cost(study(), "chest", OPEN, site.ledger)
    assert fresh.before == 0.0
    assert fresh.after == pytest.approx(accounting.epsilon_pld([DpSgdEvent(0.25, 2.0, 20)], 1e-4))
    charge(site)
    later = costs.study_cost(study(), "chest", OPEN, site.ledger)
    assert later.before == pytest.approx(fresh.after)
    assert later.after > later.before
    assert costs.study_cost(study(), "spine", OPEN, site.ledger).before == 0.0

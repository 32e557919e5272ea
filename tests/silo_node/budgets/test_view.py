"""What still fits is said before anybody asks for more: on approval, and by `budget show`."""

import json

import pytest

from privacy.dp.events import DpSgdEvent
from privacy.errors import (
    BudgetExceeded,
    ConfigError,
)
from silo_node.approvals import costs
from tests.silo_node.budgets.hospital import Hospital, refused


@pytest.mark.usefixtures("quick")
def test_a_study_that_does_not_fit_is_refused_with_the_rounds_that_would(hospital: Hospital) -> None:
    hospital.ingest("chest", "P-1")
    hospital.set_cap(2.0)
    path, signed = hospital.signed()
    guard, event = costs.budget_filter(hospital.policy()), costs.round_event(signed)
    assert isinstance(event, DpSgdEvent)
    fits = guard.fitting_steps(hospital.entries, "chest", event, 20)
    assert 0 < fits < 20
    refused(hospital.approve(path), BudgetExceeded, f"{fits} of its 20 rounds would fit")
    entry = hospital.entries[-1]
    assert (entry.kind, entry.body["code"]) == ("refused", "budget.exceeded")
    assert f"{fits} of its 20 rounds would fit" in str(entry.body["reason"])
    # As many as were said do fit.
    path, _ = hospital.signed(name="shorter", training={"rounds": fits, "local_steps": 1, "learning_rate": 0.5})
    ended = hospital.approve(path)
    assert ended.exit_code == 0, ended.output
    assert "cap 2" in ended.stdout
    assert hospital.entries[-1].body["cap_epsilon"] == 2.0
    # Charged to the same patients under another name, nothing fits any more.
    hospital.ingest("again", "P-1", "P-2")
    hospital.charge("again", 20)
    refused(hospital.approve(path), BudgetExceeded, f"0 of its {fits} rounds would fit")


@pytest.mark.usefixtures("quick")
def test_show_says_what_is_spent_left_and_fits(hospital: Hospital) -> None:
    hospital.open().close()
    assert hospital.run("budget", "show").stdout == "no cohort was ingested here yet\n"
    hospital.ingest("chest", "P-1")
    path, signed = hospital.signed()
    assert hospital.approve(path).exit_code == 0
    hospital.ingest("again", "P-1")
    for number in (1, 2, 3):
        hospital.charge("chest", 1, number, signed.digest().hex())
    hospital.charge("again", 4)
    hospital.set_cap(2.0, cohort="again")
    both = json.loads(hospital.run("budget", "show", "--json").stdout)["cohorts"]
    assert [each["cohort"] for each in both] == ["chest", "again"]
    for each, other in zip(both, ("again", "chest"), strict=True):
        assert (each["overlaps"], each["cap"]) == ([other], 2.0)
        assert each["left"] == pytest.approx(2.0 - each["spent"])
    trial, unnamed = both[0]["studies"]
    assert (trial["name"], trial["charged_rounds"], trial["open_rounds"]) == ("trial", 3, 17)
    guard, event = costs.budget_filter(hospital.policy()), costs.round_event(signed)
    assert isinstance(event, DpSgdEvent)
    assert trial["fitting_rounds"] == guard.fitting_steps(hospital.entries, "chest", event, 17) < 17
    assert (unnamed["name"], unnamed["open_rounds"]) == ("cd" * 6, None)
    words = hospital.run("budget", "show", "--cohort", "chest").stdout
    assert "shares patients with again" in words
    assert f"17 rounds to go, of which {trial['fitting_rounds']} fit" in words
    refused(hospital.run("budget", "show", "--cohort", "unknown"), ConfigError, "no cohort 'unknown'")

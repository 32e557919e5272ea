"""`collegium-silo status`: what the running silo said, what its ledger knows, and what is left."""

import pytest

from privacy.operations.live import LiveFile
from silo_node.operations.status import AWAITED
from silo_node.progress import Progress
from tests.silo_node.operations.site import COHORT, Site


def test_a_silo_that_never_ran(site: Site) -> None:
    found = site.data("status")
    assert (found["running"], found["said_at"]) == (False, None)
    assert [one["study"] for one in found["studies"]] == [site.study.name]
    assert "NOT running" in site.run("status").output


def test_what_a_running_silo_says(site: Site) -> None:
    progress = Progress(None, 20, site.study.name, LiveFile(site.state))
    progress.say("phase", 3, phase="waiting", upload_bytes=7)
    progress.say("round_closed", 3, upload_bytes=7)
    found = site.data("status")
    assert (found["running"], found["study"], found["round"], found["phase"]) == (True, site.study.name, 3, "waiting")
    assert found["awaited"] == AWAITED["waiting"]
    assert "upload_bytes" not in found
    assert "other silos' uploads" in site.run("status").output
    progress.say("finished", 21)
    assert site.data("status")["phase"] == "finished"


def test_a_halted_study_is_told(site: Site) -> None:
    site.directory.study(site.study.name).halted.touch()
    assert "HALTED" in site.run("status").output


def test_what_is_left_of_the_budget(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from privacy.dp import accounting

    monkeypatch.setattr(accounting, "epsilon_pld", lambda events, delta: 1.5)
    body = {"cohort": COHORT, "digest": "ab" * 32, "patients": 9, "images": 9, "quarantined": {}, "profile": "basic"}
    with site.directory.open_ledger(site.directory.identity()) as ledger:
        ledger.append("cohort", {**body, "table_edition": "2026c"})
    (one,) = site.data("status")["budgets"]
    assert one == {"cohort": COHORT, "cap": 8.0, "delta": 1e-4, "spent": 1.5, "left": 6.5}
    assert "epsilon 1.50 of 8.0 spent" in site.run("status").output

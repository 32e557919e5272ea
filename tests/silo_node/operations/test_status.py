"""`collegium-silo status`: what the running silo said, what its ledger knows, and what is left."""

import json
from datetime import UTC, datetime

import pytest

from privacy.channel import renewal
from privacy.operations.live import FILE, LiveFile
from silo_node.operations.status import AWAITED
from silo_node.rounds.progress import Progress
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
    progress.say("stopped", 3)  # a person had it stopped, and its process is about to end
    shown = site.run("status").output
    assert "north, ending\n" in shown
    assert "awaited       nothing: it stops here, as a person wanted" in shown
    progress.say("finished", 21)
    assert site.data("status")["phase"] == "finished"
    assert "the study has ended" in site.run("status").output


def test_an_aggregator_that_does_not_answer_is_told(site: Site) -> None:
    progress = Progress(None, 20, site.study.name, LiveFile(site.state))
    progress.say("phase", 0, phase="asking witnesses")
    assert "no answer" not in site.run("status").output
    progress.unanswered(datetime(2026, 5, 3, 8, 15, tzinfo=UTC), "peer.refused")
    assert "since 2026-05-03 08:15:00 UTC (peer.refused)" in site.run("status").output
    assert site.data("status")["no_answer_code"] == "peer.refused"
    progress.say("phase", 0, phase="keys")
    assert "(peer.refused)" in site.run("status").output
    progress.answered(None)
    assert "no answer" not in site.run("status").output


def test_a_silo_whose_process_ended_waits_for_nobody_but_a_person(site: Site) -> None:
    Progress(None, 20, site.study.name, LiveFile(site.state)).say("phase", 3, phase="waiting")
    path = site.state / FILE
    said = json.loads(path.read_text())
    path.write_text(json.dumps(said | {"process": {"pid": 2**22, "started": "0"}}))
    found = site.run("status").output
    assert "NOT running" in found
    assert "collegium-silo run" in found


def test_a_renewal_that_nobody_answers_is_told(site: Site) -> None:
    assert site.data("status")["renewal_asked_at"] is None
    assert "renewal" not in site.run("status").output
    renewal.asked(site.directory.identity_folder, site.directory.identity())
    since = site.data("status")["renewal_asked_at"]
    assert f"renewal asked since {since[:16].replace('T', ' ')} UTC, unanswered" in site.run("status").output


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
    assert one == {"cohort": COHORT, "cap": 8.0, "delta": 1e-4, "spent": 1.5, "left": 6.5, "closed": False}
    assert "epsilon 1.50 of 8.0 spent" in site.run("status").output


def test_a_silo_that_is_missing_in_the_last_sum_is_named(site: Site) -> None:
    about = {"study_digest": site.digest, "outcome": "closed", "chain": "ef" * 32}
    names = [silo.name for silo in site.study.roster.silos]
    with site.directory.open_ledger(site.directory.identity()) as ledger:
        for number, silos in enumerate(([*range(1, len(names) + 1)], [*range(1, len(names))]), start=1):
            ledger.append("closed", {**about, "round": number, "silos": silos})
    (found,) = site.data("status")["studies"]
    assert found["missing_in_last_sum"] == names[-1:]
    assert f"not in the last sum: {names[-1]}" in site.run("status").output

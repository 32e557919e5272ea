"""`what-leaves` adds up the log and names the approval that the ledger holds."""

from datetime import UTC, datetime, timedelta

import pytest

from privacy.errors import ConfigError
from silo_node.egress.log import EgressLog
from tests.silo_node.operations.site import BY, COHORT, Site


def send(site: Site, *messages: tuple[str, int], study: str | None = None, at: datetime | None = None) -> None:
    moment = at or datetime.now(UTC) + timedelta(seconds=1)
    egress = EgressLog(site.state, study or site.digest, "cd" * 32, lambda: moment)
    for name, size in messages:
        egress.count(name, size)
    egress.close()


def test_nothing_has_left_a_new_silo(site: Site) -> None:
    assert "nothing has left this hospital" in site.run("what-leaves").output
    assert site.data("what-leaves") == {"classes": [], "bytes": 0}


def test_classes_are_added_up_under_their_approval(site: Site) -> None:
    send(site, ("Upload", 1000), ("Await", 7), ("Upload", 24))
    found = site.data("what-leaves")
    assert found["bytes"] == 1031
    upload, asked = found["classes"]
    assert (upload["class"], upload["bytes"], upload["messages"]) == ("Upload", 1024, 2)
    assert upload["of_patients"]
    assert (asked["class"], asked["of_patients"]) == ("Await", "")
    assert (upload["approved_by"], upload["cohort"], upload["study"]) == (BY, COHORT, site.study.name)
    assert site.entries[upload["ledger_entry"]].kind == "approved"
    shown = site.run("what-leaves").output
    assert "1,024 bytes" in shown
    assert f"approved by {BY}" in shown
    assert "image archive" in shown


def test_what_left_before_any_approval_is_shown_as_such(site: Site) -> None:
    send(site, ("Upload", 5), at=datetime(2020, 1, 1, tzinfo=UTC))
    send(site, ("Upload", 6))
    assert [one["approved_by"] for one in site.data("what-leaves")["classes"]] == [None, BY]
    assert "an approval that the ledger does not hold" in site.run("what-leaves").output


def test_a_class_that_nobody_described_is_not_left_out(site: Site) -> None:
    send(site, ("Telemetry", 9))
    (one,) = site.data("what-leaves")["classes"]
    assert "does not describe" in one["what"]


def test_choices(site: Site) -> None:
    send(site, ("Upload", 5), at=datetime(2020, 1, 1, tzinfo=UTC))
    send(site, ("Upload", 6))
    send(site, ("Upload", 7), study="ee" * 32)
    assert site.data("what-leaves", "--study", site.study.name)["bytes"] == 11
    assert site.data("what-leaves", "--study", site.digest[:8])["bytes"] == 11
    assert site.data("what-leaves", "--since", "2020-01-02")["bytes"] == 13
    assert site.data("what-leaves", "--since", "2020-01-01T00:00")["bytes"] == 18


@pytest.mark.parametrize("wrong", [("--study", "other"), ("--since", "yesterday")])
def test_a_choice_that_means_nothing_is_refused(site: Site, wrong: tuple[str, str]) -> None:
    assert isinstance(site.run("what-leaves", *wrong).exception, ConfigError)

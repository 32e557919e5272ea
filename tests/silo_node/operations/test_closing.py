"""A closed cohort: in the ledger with who and why, refused wherever it would be used, and still paid for."""

import pytest

from privacy.dp.events import to_json
from privacy.errors import AlreadyRunning, CollegiumError, ConfigError, PolicyRefused
from privacy.ledger.budgets.budget import charged
from silo_node import configuration
from silo_node.approvals import costs
from tests.silo_node.operations.holding import held
from tests.silo_node.operations.site import COHORT, Site

WHY = ("--reason", "the archive moves", "--by", "Ada Roe")
OTHER = "again"


@pytest.fixture
def known(site: Site) -> Site:
    """Two cohorts that share patients; the study is approved for the first, and one round of it was charged."""
    body = {"digest": "ab" * 32, "patients": 9, "images": 9, "quarantined": {}, "profile": "basic"}
    about = {**body, "table_edition": "2026c", "patients_commitment": "cd" * 32}
    with site.directory.open_ledger(site.directory.identity()) as ledger:
        ledger.append("cohort", {**about, "cohort": COHORT, "overlaps": []})
        ledger.append("cohort", {**about, "cohort": OTHER, "digest": "ef" * 32, "overlaps": [COHORT]})
        event = to_json(costs.round_event(site.study))
        ledger.append("reserved", {"study_digest": site.digest, "round": 1, "cohort": COHORT, "event": event})
    return site


def close(site: Site, name: str = COHORT) -> None:
    ended = site.run("cohort", "close", name, *WHY)
    assert ended.exit_code == 0, ended.output
    assert f"cohort '{name}'" in ended.output


def refused(ended: object) -> str:
    assert isinstance(ended, PolicyRefused)
    return ended.code


def test_it_is_entered_with_who_and_why_and_told(known: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from privacy.dp import accounting

    monkeypatch.setattr(accounting, "epsilon_pld", lambda events, delta: 1.5)
    close(known)
    entry = known.entries[-1]
    assert entry.kind == "cohort_closed"
    assert entry.body == {"cohort": COHORT, "by": "Ada Roe", "reason": "the archive moves"}
    assert {one["cohort"]: one["closed"] for one in known.data("status")["budgets"]} == {COHORT: True, OTHER: False}
    assert "spent; closed for good" in known.run("status").output
    shown = known.run("ledger", "show", "--kind", "cohort_closed").output
    assert "Ada Roe" in shown
    assert "the archive moves" in shown


def test_no_study_is_approved_for_it_or_run_on_it(known: Site) -> None:
    close(known)
    study = known.consortium.root / "study.yaml"
    ended = known.run("approve", study, "--cohort", COHORT, "--by", "Ada Roe", "--yes")
    assert refused(ended.exception) == "cohort.closed"
    ended = known.run("run", "--aggregator", "localhost:1", "--study", known.study.name, "--patience", 0.1)
    assert refused(ended.exception) == "cohort.closed"
    assert [e.body["code"] for e in known.entries if e.kind == "refused"] == ["cohort.closed"] * 2


def test_no_round_of_a_study_that_runs_is_authorised_and_what_was_spent_counts(known: Site) -> None:
    policy = configuration.read(known.state).policy
    before = {name: charged(known.entries, name) for name in (COHORT, OTHER)}
    guard, event = costs.budget_filter(policy), costs.round_event(known.study)
    guard.authorise(known.entries, COHORT, event, event.steps)
    close(known)
    with pytest.raises(PolicyRefused) as caught:
        guard.authorise(known.entries, COHORT, event, event.steps)
    assert caught.value.code == "cohort.closed"
    guard.authorise(known.entries, OTHER, event, event.steps)
    assert {name: charged(known.entries, name) for name in (COHORT, OTHER)} == before
    assert before[OTHER] == (event,)


@pytest.mark.parametrize(
    ("name", "words", "kind"),
    [
        ("abdomen", WHY, ConfigError),
        (OTHER, WHY, PolicyRefused),
        (COHORT, ("--reason", " "), ConfigError),
        (COHORT, ("--reason", "a", "--by", ""), ConfigError),
    ],
)
def test_what_cannot_be_closed(known: Site, name: str, words: tuple[str, ...], kind: type[CollegiumError]) -> None:
    close(known, OTHER)
    before = len(known.entries)
    assert isinstance(known.run("cohort", "close", name, *words).exception, kind)
    assert len(known.entries) == before


def test_a_running_silo_has_to_stop_first(known: Site) -> None:
    with held(known.state):
        assert isinstance(known.run("cohort", "close", COHORT, *WHY).exception, AlreadyRunning)
    assert not [entry for entry in known.entries if entry.kind == "cohort_closed"]

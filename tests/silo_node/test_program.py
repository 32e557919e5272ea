"""A run asks again, before it loads a patient, what an approval asked: the accountants, and the audits of its code."""

import json
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from typer.testing import CliRunner

from privacy.errors import CollegiumError, ConfigError, CorruptState
from silo_node.app import app
from silo_node.approvals import approval, checks, costs
from silo_node.program import take_part
from tests.privacy.studies import study
from tests.silo_node.approvals.hospital import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_run_removes_first_what_a_killed_one_was_writing(tmp_path: Path) -> None:
    class Ended(Exception):
        pass

    left = [tmp_path / ".status.json.0123456789abcdef", tmp_path / "trial" / ".model.0123456789abcdef"]
    left[1].parent.mkdir()
    for path in left:
        path.write_bytes(b"half")
    directory = MagicMock(root=tmp_path)
    directory.study.return_value.root = tmp_path / "trial"
    directory.identity.side_effect = Ended
    with pytest.raises(Ended):
        take_part(directory, "trial", "here:1", 1.0, None, 1, None)
    assert [path for path in left if path.exists()] == []


@pytest.mark.parametrize("name", ["check_claims", "check_spent"])
def test_a_run_asks_the_accountants_again_before_it_loads_a_patient_for_training(
    site: Site, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    built: list[object] = []

    def disagree(*_: object) -> None:
        raise CollegiumError("they disagree", code="accountant.disagreement")

    directory = MagicMock(root=site.root)
    directory.open_ledger.return_value.__enter__.return_value = site.ledger
    config = MagicMock(one_way_tls=False)
    monkeypatch.setattr("silo_node.program.configuration.read", lambda _: config)
    harmless = ("AggregatorClient", "open_cohort", "_check_recorded", "tasks.check_cohort")
    for target in (*harmless, "checks.check_policy"):
        monkeypatch.setattr(f"silo_node.program.{target}", MagicMock())
    monkeypatch.setattr(
        approval,
        "load_approved",
        lambda *_: (study(), approval.Approval(study_digest=study().digest().hex(), cohort="chest", by="Dr Who")),
    )
    for module, check in ((checks, "check_claims"), (costs, "check_spent")):
        monkeypatch.setattr(module, check, disagree if check == name else MagicMock())
    monkeypatch.setattr("silo_node.learning.learner.Learner", built.append)
    with pytest.raises(CollegiumError) as caught:
        take_part(directory, "trial", "here:1", 1.0, None, 1, None)
    assert caught.value.code == "accountant.disagreement"
    assert (built, site.kinds()[-1]) == ([], "refused")


def test_a_run_refuses_code_that_an_audit_broke_until_it_is_consistent(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = MagicMock(root=site.root)
    directory.open_ledger.return_value.__enter__.return_value = site.ledger
    config = MagicMock(one_way_tls=False)
    monkeypatch.setattr("silo_node.program.configuration.read", lambda _: config)
    for target in ("AggregatorClient", "checks.check_policy"):
        monkeypatch.setattr(f"silo_node.program.{target}", MagicMock())
    agreed = approval.Approval(study_digest=study().digest().hex(), cohort="chest", by="Dr Who")
    monkeypatch.setattr(approval, "load_approved", lambda *_: (study(), agreed))
    opened = MagicMock(side_effect=CorruptState("the cohort is read"))
    monkeypatch.setattr("silo_node.program.Cohort.open", opened)

    def run() -> str:
        with pytest.raises(CollegiumError) as caught:
            take_part(directory, "trial", "here:1", 1.0, None, 1, None)
        return caught.value.code

    def audited(outcome: str, bound: float) -> None:
        figures = {"claimed_epsilon": 2.0, "lower_bound": bound, "confidence": 0.95, "guesses": 1024}
        site.ledger.append("audited", {"what": "one run", **figures, "outcome": outcome, "digest": "ab" * 32})

    assert run() == "state.corrupt"
    audited("broken", 3.0)
    assert run() == "audit.broken"
    assert site.ledger.entries[-1].body["code"] == "audit.broken"
    assert opened.call_count == 1
    audited("consistent", 1.0)
    assert run() == "state.corrupt"
    assert site.kinds().count("software") == 1


def test_with_json_lines_a_run_that_cannot_begin_says_so_in_one_too(tmp_path: Path) -> None:
    words = ("run", "--state", str(tmp_path / "nowhere"), "--aggregator", "localhost:1")
    ended = CliRunner().invoke(app, [*words, "--log-json"])
    assert ended.exit_code == ConfigError.exit_code
    (line,) = map(json.loads, ended.stderr.splitlines())
    assert (line["event"], line["code"]) == ("failed", "config.invalid")
    assert "'collegium-silo init'" in line["sentence"]
    assert isinstance(CliRunner().invoke(app, words).exception, ConfigError)  # a sentence, made by `console.run`

"""What doctor says of a silo whose calls are taken, and of an aggregator that is there."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from aggregator.app import Program
from aggregator.operations import readiness
from aggregator.serving import health
from privacy.errors import StudyError
from silo_node.app import app
from silo_node.egress import log
from tests.integration.doctor.looking import CALL, CLOCK, STUDY, approve, examined
from tests.integration.federation import Federation, make_study
from tests.silo_node.operations.site import POLICY


def test_a_silo_whose_calls_are_taken(federation: Federation, program: Program) -> None:
    state = federation.consortium.state("north")
    before = len(list(log.read(state)))
    rows, ended = examined(state, program.port)
    assert {row["state"] for check, row in rows.items() if check != STUDY} <= {"ok", "warning"}, rows
    assert (rows[CALL]["found"], rows[CLOCK]["state"]) == ("takes our calls and serves", "ok")
    assert ended is None
    sent = list(log.read(state))[before:]
    assert [(one.name, one.study) for one in sent] == [("Check", "")], "what doctor sends is counted"
    told = CliRunner().invoke(app, ["what-leaves", "--state", str(state)])
    assert "of no study" in told.stdout


def test_which_study_is_served(federation: Federation, program: Program) -> None:
    state = federation.consortium.state("centre")
    (state / "silo.yaml").write_text(yaml.safe_dump({"policy": POLICY}))
    rows, _ = examined(state, program.port)
    assert (rows[STUDY]["state"], rows[STUDY]["found"]) == ("skipped", "no study is approved here yet")
    other = make_study(federation.hub, federation.members, rounds=5)
    approve(federation, state, other.model_copy(update={"name": "another"}))
    rows, ended = examined(state, program.port)
    assert (rows[CALL]["state"], rows[STUDY]["code"]) == ("ok", "study.not_served")
    assert "another" in rows[STUDY]["found"]
    assert isinstance(ended, StudyError)
    approve(federation, state)
    rows, ended = examined(state, program.port)
    assert (rows[STUDY]["state"], ended) == ("ok", None), "of several approved one is served"
    assert "'trial'" in rows[STUDY]["found"]
    rows, _ = examined(state, program.port, "--study", "another")
    assert rows[STUDY]["code"] == "study.not_served"
    counted = {(one.name, one.study) for one in log.read(state)}
    assert {("Check", ""), ("AskHead", federation.study.digest().hex())} <= counted


def test_the_call_goes_through_the_proxy_of_the_state_directory(
    federation: Federation, program: Program, proxy: int
) -> None:
    file = federation.consortium.state("north") / "proxy.url"
    file.touch(0o600)
    file.write_text(f"http://ward:s3cret@127.0.0.1:{proxy}\n")
    try:
        rows, ended = examined(federation.consortium.state("north"), program.port)
        assert (rows["proxy"]["state"], rows[CALL]["state"], ended) == ("ok", "ok", None)
        file.write_text(f"http://ward:wrong@127.0.0.1:{proxy}\n")
        rows, ended = examined(federation.consortium.state("north"), program.port)
        assert (rows["proxy"]["code"], rows[CALL]["state"]) == ("peer.proxy_login", "skipped")
        file.chmod(0o644)
        rows, ended = examined(federation.consortium.state("north"), program.port)
        assert (rows[CALL]["code"], rows["key permissions"]["code"]) == ("identity.exposed_key", "identity.exposed_key")
    finally:
        file.unlink()


def test_a_target_that_is_none(federation: Federation) -> None:
    words = ["doctor", "--state", str(federation.consortium.state("north")), "--aggregator", "https://hub", "--json"]
    ended = CliRunner().invoke(app, words)
    rows = json.loads(ended.stdout.splitlines()[0])["checks"]
    assert rows[-1]["code"] == "config.invalid", "the other checks are done all the same"
    assert "HOST:PORT" in rows[-1]["found"]


def test_an_aggregator_that_is_not_ready_and_one_whose_rounds_are_halted(
    federation: Federation, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = federation.consortium.state("north")
    with monkeypatch.context() as full:
        full.setattr(readiness, "LEAST_FREE_BYTES", 2**63)
        rows, ended = examined(state, program.port)
        assert (rows[CALL]["state"], ended) == ("warning", None)
        assert "not ready" in rows[CALL]["found"]
    with monkeypatch.context() as halted:
        statuses = health.Health.statuses
        halted.setattr(
            health.Health, "statuses", lambda self: {**statuses(self), "collegium.v1.Aggregator": health.Status(2)}
        )
        rows, ended = examined(state, program.port)
    assert (rows[CALL]["state"], ended) == ("warning", None)
    assert "halted" in rows[CALL]["found"]


def test_another_user_sends_nothing(federation: Federation, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    state = federation.consortium.state("north")
    before = len(list(log.read(state)))
    monkeypatch.setattr("os.geteuid", lambda: state.stat().st_uid + 1)
    rows, _ = examined(state, program.port)
    assert (rows["user"]["state"], rows[CALL]["state"]) == ("warning", "skipped")
    assert len(list(log.read(state))) == before

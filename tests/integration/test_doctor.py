"""What `collegium-silo doctor` says of the call at the end of the way, for each refusal by a real aggregator."""

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.x509 import UniformResourceIdentifier
from typer.testing import CliRunner

from aggregator.app import Program
from aggregator.operations import readiness
from aggregator.serving import health
from privacy.channel import certificate as profile
from privacy.channel import roster_statement
from privacy.channel.files import publish
from privacy.channel.identity import Consortium as Enrolled
from privacy.channel.one_way import service
from privacy.errors import CollegiumError, IdentityError, StudyError, Unreachable
from privacy.study import Study, dump, sign
from silo_node import configuration
from silo_node.app import app
from silo_node.approvals import approval
from silo_node.egress import log
from silo_node.egress.classes import CONNECTION_CHECK
from silo_node.state import StateDirectory
from tests.consortium import Consortium
from tests.integration.federation import Federation, make_study
from tests.privacy.channel.breaking_proxy import BreakingProxy
from tests.privacy.channel.test_proxy import proxy
from tests.silo_node.operations.site import POLICY

__all__ = ["proxy"]
Rows = dict[str, dict[str, Any]]
CALL, CLOCK, STUDY = "aggregator", "aggregator's clock", "study"


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    root = tmp_path_factory.mktemp("doctor")
    (root / "hub").mkdir()
    (root / "hub" / "aggregator.yaml").write_text("one_way_tls: [north]\n")
    made = Federation(root, Consortium(root), silos=5)
    for name in ("north", "south", "east"):
        (root / name / "silo.yaml").write_text(yaml.safe_dump({"policy": POLICY}))
    return made


@pytest.fixture(scope="module")
def program(federation: Federation) -> Iterator[Program]:
    with federation.serving(one_way="localhost:0") as program:
        yield program


def examined(state: Path, port: int, *more: str) -> tuple[Rows, BaseException | None]:
    """The rows by check, and how the command ended."""
    words = ["doctor", "--state", str(state), "--aggregator", f"localhost:{port}", "--json", *more]
    ended = CliRunner().invoke(app, words)
    rows = json.loads(ended.stdout.splitlines()[0])["checks"]
    return {row["check"]: row for row in rows}, ended.exception


def refused(state: Path, port: int, kind: type[CollegiumError], code: str) -> dict[str, Any]:
    """The row of a call that is refused for this reason, which ends the command if nothing before does."""
    rows, ended = examined(state, port)
    assert (rows["TLS"]["state"], rows[CALL]["state"], rows[CALL]["code"]) == ("ok", "failed", code), rows
    assert rows[CALL]["mend"]
    assert rows[CLOCK]["state"] == "skipped"
    failed = [row for row in rows.values() if row["state"] == "failed"]
    if failed == [rows[CALL]]:
        assert type(ended) is kind
    return rows[CALL]


def test_a_silo_whose_calls_are_taken(federation: Federation, program: Program) -> None:
    state = federation.consortium.state("north")
    rows, ended = examined(state, program.port)
    assert {row["state"] for check, row in rows.items() if check != STUDY} <= {"ok", "warning"}, rows
    assert (rows[CALL]["found"], rows[CLOCK]["state"]) == ("takes our calls and serves", "ok")
    assert ended is None
    sent = list(log.read(state))
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


def test_a_revoked_silo(federation: Federation, program: Program) -> None:
    publish(federation.statement, roster_statement.dump(federation.consortium.roster_statement("south")))
    row = refused(federation.consortium.state("south"), program.port, IdentityError, "identity.revoked")
    assert "is revoked since" in row["found"]
    assert "ask the consortium" in row["mend"]


def test_a_silo_that_is_on_no_roster(federation: Federation, program: Program) -> None:
    federation.consortium.silo("stranger")
    refused(federation.consortium.state("stranger"), program.port, StudyError, "study.not_on_roster")


def test_a_certificate_that_was_replaced(federation: Federation, program: Program) -> None:
    state = federation.consortium.state("east")
    rows, _ = examined(state, program.port)
    assert rows[CALL]["state"] == "ok"
    shutil.copytree(state, state.with_name("east-before"))
    authority, folder = federation.consortium.authority, state / "identity"
    later = datetime.now(UTC) + timedelta(minutes=1)
    pem = authority.renew(federation.members[2].member, later).certificate.encode()
    publish(folder / "certificate.pem", pem)
    with pytest.MonkeyPatch.context() as early:  # the new one begins in a minute, which the call does not wait for
        early.setattr(profile, "check_dates", lambda *_: None)
        rows, _ = examined(state, program.port)
    if rows[CALL]["state"] != "ok":
        pytest.fail(str(rows[CALL]))
    refused(state.with_name("east-before"), program.port, IdentityError, "identity.superseded")


@pytest.mark.parametrize(("name", "days"), [("late", -400), ("early", 10)])
def test_a_certificate_that_is_out_of_date_by_the_aggregators_clock(
    federation: Federation, program: Program, monkeypatch: pytest.MonkeyPatch, name: str, days: int
) -> None:
    """As a silo meets it whose own clock is wrong: gRPC refuses it in the handshake, and says nothing."""
    monkeypatch.setattr(profile, "check_dates", lambda *_: None)
    federation.consortium.silo(name, datetime.now(UTC) + timedelta(days=days))
    state = federation.consortium.state(name)
    row = refused(state, program.port, Unreachable, "peer.closed")
    assert "when it sees our certificate" in row["found"]
    assert "compare this clock" in row["mend"]
    counted = [(one.name, one.study) for one in log.read(state)]
    assert counted == [("Check", ""), (CONNECTION_CHECK, "")], "the handshake that shows our certificate is counted"


def test_a_certificate_of_another_consortium_by_the_same_authority(federation: Federation, program: Program) -> None:
    state = federation.consortium.root / "moved"
    shutil.copytree(federation.consortium.state("north"), state)
    uri = UniformResourceIdentifier("spiffe://other-net/silo/north")
    key, certificate = federation.consortium.forge([uri])
    (state / "identity" / "tls.key").write_bytes(key)
    (state / "identity" / "certificate.pem").write_bytes(certificate)
    file = state / "identity" / "consortium.json"
    enrolled = Enrolled.model_validate_json(file.read_text())
    file.write_text(enrolled.model_copy(update={"consortium": "other-net"}).model_dump_json())
    row = refused(state, program.port, Unreachable, "peer.closed")
    assert "when it sees our certificate" in row["found"], "the authority may not certify others: the handshake ends"


def test_another_role(federation: Federation, program: Program) -> None:
    rows, ended = examined(federation.consortium.state("hub"), program.port)
    assert rows["name"]["code"] == "identity.other_role"
    assert "collegium-aggregator doctor" in rows["name"]["mend"]
    assert rows[CALL]["code"] == "config.invalid"
    assert isinstance(ended, IdentityError)


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


@pytest.mark.parametrize(("hours", "word"), [(2, "ahead of"), (-2, "behind")])
def test_another_clock(
    federation: Federation, program: Program, monkeypatch: pytest.MonkeyPatch, hours: int, word: str
) -> None:
    class Elsewhere(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(hours=hours)

    state = federation.consortium.state("north")
    monkeypatch.setattr(health, "datetime", Elsewhere)
    monkeypatch.setattr(service, "datetime", Elsewhere)
    with one_way(federation, program, "north") as (behind, port):
        approve(federation, behind)
        for rows, ended in (examined(state, program.port), examined(behind, port)):
            assert (rows[CLOCK]["state"], ended) == ("warning", None)
            assert f"7200 s {word}" in rows[CLOCK]["found"]
            assert "let NTP keep it" in rows[CLOCK]["mend"]


def test_an_aggregator_that_does_not_say_its_time(
    federation: Federation, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As earlier versions do not: that its clock is not compared is said."""
    finish = service.OneWay._finish
    monkeypatch.setattr(service.OneWay, "_finish", lambda *given: finish(*given[:4], given[4] if given[3] == 0 else ""))
    with one_way(federation, program, "north") as (behind, port):
        approve(federation, behind)
        rows, ended = examined(behind, port)
    assert (rows[CALL]["state"], rows[CLOCK]["state"], ended) == ("ok", "skipped", None)
    assert "not compared" in rows[CLOCK]["found"]
    assert "by phone" in rows[CLOCK]["mend"]


def test_another_user_sends_nothing(federation: Federation, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    state = federation.consortium.state("north")
    before = len(list(log.read(state)))
    monkeypatch.setattr("os.geteuid", lambda: state.stat().st_uid + 1)
    rows, _ = examined(state, program.port)
    assert (rows["user"]["state"], rows[CALL]["state"]) == ("warning", "skipped")
    assert len(list(log.read(state))) == before


@contextmanager
def one_way(federation: Federation, program: Program, name: str) -> Iterator[tuple[Path, int]]:
    """A silo behind a device that opens TLS: a copy of its state directory, and the device's port."""
    assert program.one_way is not None
    state = federation.consortium.root / f"{name}-one-way-{secrets.token_hex(4)}"
    shutil.copytree(federation.consortium.state(name), state)
    device = BreakingProxy(program.one_way.port, federation.hub.authority_pem)
    (state / "proxy-ca.pem").write_bytes(device.trusted)
    (state / "silo.yaml").write_text(yaml.safe_dump({"policy": POLICY, "one_way_tls": True}))
    with device.running() as port:
        yield state, port


def approve(federation: Federation, state: Path, study: Study | None = None) -> None:
    signed, source, directory = study or federation.study, federation.folder / "study.yaml", StateDirectory(state)
    source.write_text(dump(sign(signed, federation.consortium.authority.study_key)))
    others = {silo.name: "phone" for silo in signed.roster.silos}
    policy, folder = configuration.read(state).policy, directory.study(signed.name)
    with directory.open_ledger(directory.identity()) as ledger:
        approval.record(source, signed, "chest", "Ada Roe", others, policy, folder, ledger)


def test_a_one_way_line_is_called_as_the_study_has_it(federation: Federation, program: Program) -> None:
    with one_way(federation, program, "north") as (state, port):
        rows, _ = examined(state, port)
        assert rows[CALL]["code"] == "policy.not_approved", "a one-way line is a study's"
        approve(federation, state)
        rows, ended = examined(state, port)
        assert (rows["TLS"]["state"], rows[CALL]["found"]) == ("ok", "takes our calls and serves")
        assert (rows[CLOCK]["state"], ended) == ("ok", None)
        names = {one.name for one in log.read(state) if one.study == federation.study.digest().hex()}
        assert names == {"Begin", "Check", "AskHead"}


def test_the_port_of_one_way_lines_is_not_the_other_one(federation: Federation, program: Program) -> None:
    assert program.one_way is not None
    row = refused(federation.consortium.state("north"), program.one_way.port, IdentityError, "one_way.port")
    assert "other port" in row["mend"]


def test_a_silo_that_may_not_use_one_way_lines(federation: Federation, program: Program) -> None:
    with one_way(federation, program, "west") as (state, port):
        approve(federation, state)
        row = refused(state, port, IdentityError, "one_way.not_allowed")
        assert "under one_way_tls" in row["mend"]

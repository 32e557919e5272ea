"""What doctor says of the call at the end of the way, for each refusal by a real aggregator."""

import shutil
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.x509 import UniformResourceIdentifier

from aggregator.app import Program
from privacy.channel import certificate as profile
from privacy.channel import roster_statement
from privacy.channel.files import publish
from privacy.channel.identity import Consortium as Enrolled
from privacy.errors import IdentityError, StudyError, Unreachable
from silo_node.egress import log
from silo_node.egress.classes import CONNECTION_CHECK
from tests.integration.doctor.looking import CALL, examined, refused
from tests.integration.federation import Federation


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

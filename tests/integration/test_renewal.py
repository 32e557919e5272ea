"""A certificate that is renewed while it is in use: asked for over the live line, answered offline, taken up there."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aggregator.app import app
from privacy.channel import renewal, tls
from privacy.channel.admission import Admission, Request
from privacy.channel.identity import CERTIFICATE_FILE, NEXT_FOLDER, Identity
from privacy.channel.member import Role
from privacy.channel.status import calling
from privacy.configuration import load
from privacy.errors import CollegiumError, IdentityError, ProtocolError
from privacy.operations.events import Events
from privacy.wire import convert
from privacy.wire.requests import Phase
from silo_node.connection.client import AggregatorClient
from silo_node.connection.renewing import Renewing
from silo_node.egress.log import EgressLog
from tests.consortium import Consortium
from tests.integration.federation import Federation

LATE = timedelta(days=300)


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    """All members were admitted 300 days ago: two thirds of their certificates' life are over."""
    return Federation(tmp_path, Old(tmp_path))


class Old(Consortium):
    """Admitted its silos long ago."""

    def silo(self, name: str, now: datetime | None = None) -> Identity:
        return super().silo(name, now or datetime.now(UTC) - LATE)


class Silo:
    """The first silo with a client, as `collegium-silo run` has them."""

    def __init__(self, federation: Federation, port: int) -> None:
        self.folder = federation.consortium.state("north") / "identity"
        self.before = Identity.load(self.folder)
        digest = federation.study.digest()
        egress = EgressLog(federation.consortium.state("north"), digest.hex(), digest.hex())
        self.client = AggregatorClient(self.before, f"localhost:{port}", digest, 5.0, egress)
        self.log = io.StringIO()
        self.renewing = Renewing(self.folder, self.before, self.client, events=Events(self.log, "silo", "chest"))

    def look(self) -> None:
        self.client.board(1, Phase.ADVERTISED)


@pytest.fixture
def port(federation: Federation) -> Iterator[int]:
    with federation.serving() as program:
        yield program.port


@pytest.fixture
def silo(federation: Federation, port: int) -> Iterator[Silo]:
    made = Silo(federation, port)
    yield made
    made.client.close()


def answered(federation: Federation, name: str = "north") -> Admission:
    """What the operator does: a request out of `pending`, signed offline, its answer into `answers`."""
    folder = federation.folder / "hub" / "renewals"
    asked = load(folder / "pending" / f"{name}.json", Request)
    authority = federation.consortium.authority
    admission = authority.renew(asked.member, datetime.now(UTC), asked)
    (folder / "answers" / f"{name}.json").write_text(admission.model_dump_json())
    return admission


def told(federation: Federation) -> tuple[str, str]:
    """What the aggregator's `doctor` and its `status` say of requests."""
    state = str(federation.folder / "hub")
    rows = json.loads(CliRunner().invoke(app, ["doctor", "--state", state, "--json"]).stdout.splitlines()[0])["checks"]
    (row,) = [row for row in rows if row["check"] == "renewals"]
    shown = CliRunner().invoke(app, ["status", "--state", state]).output.splitlines()
    return row["found"], "".join(line for line in shown if line.startswith("renewal "))


def call_with(identity: Identity, port: int, federation: Federation) -> None:
    with tls.channel(identity, f"localhost:{port}") as channel, calling("the aggregator"):
        channel.unary_unary(f"/{convert.SERVICE.full_name}/AskHead")(b"\xff", timeout=10)


def test_a_certificate_is_renewed_over_the_live_line_and_the_old_key_is_refused(
    federation: Federation, port: int, silo: Silo
) -> None:
    silo.look()
    assert not silo.renewing.step(), "the consortium has not answered"
    silo.look()
    asked_at = renewal.unanswered_since(silo.folder)
    assert asked_at is not None
    examined, shown = told(federation)
    assert examined == f"1 unanswered (north since {asked_at:%Y-%m-%d %H:%M} UTC)"
    assert f"north asks since {asked_at:%Y-%m-%d %H:%M} UTC" in shown
    assert "'collegium-consortium renew silo north --request north.json'" in shown
    answered(federation)
    examined, shown = told(federation)
    assert examined == "none unanswered"
    assert "answered: the silo takes it up by itself" in shown
    assert silo.renewing.step()
    assert told(federation) == ("none unanswered", "")
    assert renewal.unanswered_since(silo.folder) is None
    silo.look()
    after = Identity.load(silo.folder)
    (event,) = map(json.loads, silo.log.getvalue().splitlines())
    assert (event["event"], event["until"]) == ("renewed", after.certificate.not_valid_after_utc.isoformat())
    assert after.certificate.public_key() != silo.before.certificate.public_key()
    assert after.keys.public_identity == silo.before.keys.public_identity
    assert not (silo.folder / NEXT_FOLDER).exists()
    assert not silo.renewing.step(), "not due again"
    with pytest.raises(IdentityError) as caught:
        call_with(silo.before, port, federation)
    assert caught.value.code == "identity.superseded"
    with pytest.raises(ProtocolError):  # it is let in, and says nonsense
        call_with(after, port, federation)
    assert not list((federation.folder / "hub/renewals/pending").iterdir())


@pytest.mark.slow
def test_the_old_key_stays_refused_after_a_restart(federation: Federation) -> None:
    with federation.serving() as program:
        silo = Silo(federation, program.port)
        silo.renewing.step()
        answered(federation)
        assert silo.renewing.step()
        silo.look()
        silo.client.close()
    with federation.serving() as program, pytest.raises(IdentityError) as caught:
        call_with(silo.before, program.port, federation)
    assert caught.value.code == "identity.superseded"


class Stopped(BaseException):
    """As a killed process."""


@pytest.mark.parametrize("done", [0, 2, *(pytest.param(number, marks=pytest.mark.slow) for number in (1, 3, 4))])
def test_a_silo_killed_while_it_takes_the_certificate_up_has_the_old_pair_or_the_new(
    federation: Federation, silo: Silo, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    silo.renewing.step()
    admission = answered(federation)
    replace, count = Path.replace, 0

    def killed(path: Path, target: Path) -> Path:
        nonlocal count
        if path.parent.name == NEXT_FOLDER:
            if count == done:
                raise Stopped
            count += 1
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    if done < 4:
        with pytest.raises(Stopped):
            renewal.take(silo.folder, silo.before, admission.model_dump_json().encode())
    else:
        renewal.take(silo.folder, silo.before, admission.model_dump_json().encode())
    monkeypatch.undo()
    loaded = Identity.load(silo.folder)  # which checks that the key is that of the certificate
    if done == 0:
        assert loaded.certificate == silo.before.certificate
        renewal.take(silo.folder, silo.before, admission.model_dump_json().encode())
        loaded = Identity.load(silo.folder)
    assert loaded.certificate_pem.decode() == admission.certificate
    other = federation.consortium.state("south") / "identity"
    assert {path.name for path in silo.folder.iterdir()} == {path.name for path in other.iterdir()}


def test_an_answer_to_another_request_changes_nothing(federation: Federation, silo: Silo) -> None:
    silo.renewing.step()
    authority = federation.consortium.authority
    other = authority.renew(silo.before.member, datetime.now(UTC))
    before = {path.name: path.read_bytes() for path in silo.folder.iterdir() if path.is_file()}
    with pytest.raises(IdentityError):
        renewal.take(silo.folder, silo.before, other.model_dump_json().encode())
    with pytest.raises(ProtocolError):
        renewal.take(silo.folder, silo.before, b"{}")
    assert {path.name: path.read_bytes() for path in silo.folder.iterdir() if path.is_file()} == before
    assert not (silo.folder / NEXT_FOLDER / CERTIFICATE_FILE).exists()


def test_the_consortium_renews_only_what_its_member_signed_with_a_new_key(federation: Federation, silo: Silo) -> None:
    authority, now = federation.consortium.authority, datetime.now(UTC)
    asked = renewal.asked(silo.folder, silo.before)
    other = renewal.asked(
        federation.consortium.state("south") / "identity",
        Identity.load(federation.consortium.state("south") / "identity"),
    )
    known = authority.register.named(Role.SILO, "north").request
    for wrong, code in (
        (other, "identity.other_key"),
        (asked.model_copy(update={"csr": other.csr}), "identity.bad_signature"),
        (known, "identity.key_reused"),
    ):
        with pytest.raises(IdentityError) as caught:
            authority.renew(silo.before.member, now, wrong)
        assert caught.value.code == code
    assert authority.renew(silo.before.member, now, asked).certificate


def test_a_key_that_was_replaced_is_never_certified_again(federation: Federation, silo: Silo) -> None:
    """The first request is signed for good: whoever took the key that it is about would have it shown again."""
    authority, now = federation.consortium.authority, datetime.now(UTC)
    first = authority.register.named(Role.SILO, "north").request
    second = renewal.asked(silo.folder, silo.before)
    authority.renew(silo.before.member, now, second)
    for again in (first, second):
        with pytest.raises(IdentityError) as caught:
            authority.renew(silo.before.member, now, again)
        assert caught.value.code == "identity.key_reused"


def test_a_silo_cannot_ask_for_another(federation: Federation, silo: Silo) -> None:
    folder = federation.consortium.state("south") / "identity"
    request = renewal.asked(folder, Identity.load(folder)).model_dump_json().encode()
    with pytest.raises(ProtocolError) as caught:
        silo.client.renew(request)
    assert caught.value.code == "renewal.foreign"
    forged = renewal.asked(silo.folder, silo.before).model_copy(update={"signature": "0" * 128})
    with pytest.raises(CollegiumError) as refused:
        silo.client.renew(forged.model_dump_json().encode())
    assert refused.value.code == "identity.bad_signature"
    assert not (federation.folder / "hub/renewals").joinpath("pending").exists()


def test_it_is_due_at_two_thirds_of_its_life(silo: Silo) -> None:
    begin = silo.before.certificate.not_valid_before_utc
    third = (silo.before.certificate.not_valid_after_utc - begin) / 3
    assert not renewal.due(silo.before.certificate, begin + 2 * third - timedelta(seconds=1))
    assert renewal.due(silo.before.certificate, begin + 2 * third)

"""Who is taken for whom on a one-way line: which silos may call, until when, and which aggregator answers."""

import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from privacy.channel import tls
from privacy.channel.identity import Identity
from privacy.channel.member import Member, Role
from privacy.channel.one_way import records
from privacy.channel.one_way.line import Line
from privacy.channel.one_way.records import BEGIN, HEAD_KEY, Call, Kind
from privacy.channel.status import calling
from privacy.errors import IdentityError, Unreachable
from tests.consortium import Consortium
from tests.privacy.channel.hostile import connected
from tests.privacy.channel.one_way.lines import NAME, STUDY, call, line_to, refused, through
from tests.privacy.channel.serving import serving_one_way


def test_a_silo_that_is_not_named_may_not(hub: Identity, silo: Identity) -> None:
    with through(hub, silo, silos=[]) as (line, echo, _):
        error = refused(line)
        assert (type(error), error.code, echo.calls) == (IdentityError, "one_way.not_allowed", 0)
        assert "one_way_tls" in str(error)


def test_revocation_expiry_and_renewal_hold_from_the_next_call_on(hub: Identity, silo: Identity) -> None:
    now, revoked, replaced = [datetime.now(UTC)], list[str](), list[str]()

    def check(values: list[str]) -> Callable[..., None]:
        def run(member: Any, *_: object) -> None:
            if values:
                raise IdentityError("no", code=values[0])

        return run

    with through(hub, silo, admit=check(revoked), known=check(replaced), clock=lambda: now[0]) as (line, echo, _):
        assert call(line) == NAME
        revoked.append("identity.revoked")
        assert refused(line).code == "identity.revoked"
        revoked.clear()
        replaced.append("identity.superseded")
        assert refused(line).code == "identity.superseded"
        replaced.clear()
        now[0] += timedelta(days=366)
        assert refused(line).code == "identity.expired"
        assert echo.calls == 1


def test_what_ends_the_next_call_ends_one_that_is_open(hub: Identity, silo: Identity) -> None:
    revoked = []

    def admit(member: Member) -> None:
        if revoked:
            raise IdentityError("revoked", code="identity.revoked")

    def asked() -> Iterator[bytes]:
        yield b"a"
        revoked.append(True)
        yield b"b"

    with through(hub, silo, admit=admit) as (line, echo, _):
        with pytest.raises(IdentityError) as caught, calling("the aggregator"):
            line.stream_unary("/t.Echo/Up")(asked(), timeout=10)
        assert caught.value.code == "identity.revoked"
        assert echo.calls == 0


def test_another_study_role_method_or_consortium_is_refused(hub: Identity, silo: Identity, foreign: Consortium) -> None:
    with serving_one_way(hub, [silo], STUDY) as (port, echo):

        def code(line: Line, method: str = "Unary") -> str:
            error = refused(line, method)
            line.close()
            return error.code

        of_another_study = line_to(hub, silo, port, hub.authority_pem, study=b"t" * 32)
        # What it signs is of this call in its own study, so the silo takes it for an altered answer.
        assert code(of_another_study) == "one_way.altered"
        stranger = foreign.silo("st-marys")
        assert code(line_to(hub, stranger, port, hub.authority_pem)) == "identity.foreign"
        assert code(line_to(hub, silo, port, hub.authority_pem), "OfAggregators") == "identity.forbidden"
        assert code(line_to(hub, silo, port, hub.authority_pem), "NotInTheTable") == "identity.forbidden"
        assert echo.calls == 0


def test_a_key_that_is_not_the_rosters_signs_nothing(hub: Identity, silo: Identity, consortium: Consortium) -> None:
    """The certificate and its key alone, in other hands, are not enough."""
    other = consortium.silo("thief")
    stolen = Identity(
        silo.member,
        type(silo.keys)(other.keys.identity, silo.keys.tls, silo.keys.hpke),
        silo.certificate,
        silo.authority,
        silo.study_key,
    )
    with serving_one_way(hub, [silo], STUDY) as (port, echo):
        line = line_to(hub, stolen, port, hub.authority_pem)
        assert refused(line).code == "one_way.altered"
        line.close()
        assert echo.calls == 0


@pytest.mark.parametrize("method", [BEGIN, "/t.Echo/Unary", "/t.Echo/Up"])
def test_a_certificate_opens_nothing_without_its_key(hub: Identity, silo: Identity, method: str) -> None:
    """Anybody may have seen it. Even with the identity key, a head that another key signed counts nowhere."""
    used: list[str] = []
    with serving_one_way(hub, [silo], STUDY, used=used.append) as (port, echo):
        line = line_to(hub, silo, port, hub.authority_pem)
        fresh, number = line._begin()
        other = ec.generate_private_key(ec.SECP256R1())
        head = records.make_head(STUDY, method, fresh, number + 1000, silo.certificate, other)
        record = Call.of(STUDY, method, head).seal_request(0, Kind.LAST, b"ask", silo.keys.identity)
        with tls.one_way_channel(silo, f"localhost:{port}", hub.authority_pem) as channel:
            forged = channel.stream_stream(method)(iter([record]), metadata=((HEAD_KEY, head),), timeout=10)
            with pytest.raises(IdentityError) as caught, calling("the aggregator"):
                list(forged)
        assert (caught.value.code, echo.calls, used) == ("identity.bad_signature", 0, [])
        assert line._begin() == (fresh, number), "no number was used up"
        assert call(line) == NAME
        line.close()


def test_a_line_of_less_than_tls_1_3_is_refused(hub: Identity, silo: Identity) -> None:
    """Whatever head it shows; in hand-made HTTP/2, as grpcio cannot be told to speak 1.2."""
    head = records.make_head(STUDY, BEGIN, b"f" * 32, 0, silo.certificate, silo.keys.tls)
    for version, answer in (
        (ssl.TLSVersion.TLSv1_2, b"identity.weak_tls"),
        (ssl.TLSVersion.TLSv1_3, b"grpc-status\x010"),
    ):
        with serving_one_way(hub, [silo], STUDY) as (port, _), connected(silo, port, version=version) as line:
            line.call_with(BEGIN, HEAD_KEY, b64encode(head).decode(), 1)
            assert line.read(answer)


def test_another_aggregators_answers_are_not_taken(hub: Identity, silo: Identity, consortium: Consortium) -> None:
    impostor = consortium.enrol(Role.AGGREGATOR, "hub-two", ("localhost",))
    with serving_one_way(impostor, [silo], STUDY) as (port, _):
        line = line_to(hub, silo, port, hub.authority_pem)
        assert refused(line).code == "one_way.altered"
        line.close()


def test_only_the_named_authorities_vouch_for_the_line(hub: Identity, silo: Identity) -> None:
    with through(hub, silo) as (_, echo, proxy), proxy.running() as port:
        line = line_to(hub, silo, port, hub.authority_pem)
        with pytest.raises(Unreachable), calling("the aggregator"):
            line.unary_unary("/t.Echo/Unary")(b"", timeout=3)
        line.close()
        assert echo.calls == 0

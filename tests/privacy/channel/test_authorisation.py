import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from google.protobuf import descriptor_pb2, descriptor_pool

from privacy.channel import tls
from privacy.channel.authorisation import Authorisation, check_complete, methods, on_roster
from privacy.channel.identity import Identity
from privacy.channel.member import Member, Role
from privacy.channel.status import calling
from privacy.errors import IdentityError, StudyError
from privacy.study import Study
from tests.consortium import Consortium
from tests.privacy.channel.serving import SILO_ONLY, raw_channel, serving

DIAL = (ExtendedKeyUsageOID.CLIENT_AUTH,)


def study(hub: str, *silos: str) -> Study:
    parties = [{"name": name, "identity": f"{index:064x}"} for index, name in enumerate(silos, 1)]
    return Study.model_validate_json(
        json.dumps(
            {
                "format": "collegium-study/1",
                "name": "demo",
                "consortium": "chest-net",
                "task": {"kind": "binary_classification", "label": "pneumonia"},
                "model": {"name": "net", "seed": 1},
                "transforms": [{"name": "resize"}],
                "training": {"rounds": 1, "local_steps": 1, "learning_rate": 0.1},
                "privacy": {"mechanism": "none", "clip": 1.0, "sampling_rate": 0.1, "lot_size": 10},
                "roster": {
                    "threshold": 3,
                    "steward": silos[0],
                    "aggregator": {"name": hub, "identity": "f" * 64},
                    "silos": parties,
                },
            }
        )
    )


def refusal(port: int, authority: bytes, pair: tuple[bytes, bytes], method: str = "Unary") -> str:
    """The code with which a real server refuses a call made with this key and certificate."""
    with (
        raw_channel(port, authority, *pair) as channel,
        pytest.raises(IdentityError) as caught,
        calling("the aggregator"),
    ):
        channel.unary_unary(f"/t.Echo/{method}")(b"", timeout=10)
    return caught.value.code


@pytest.mark.parametrize(
    "names",
    [
        [x509.DNSName("spiffe://chest-net/silo/st-marys")],
        [x509.DNSName("chest-net")],
        [x509.RFC822Name("spiffe://chest-net/silo/st-marys@x")],
        [x509.UniformResourceIdentifier("spiffe://chest-net/operator/st-marys")],
        [x509.UniformResourceIdentifier("https://chest-net/silo/st-marys")],
        [
            x509.UniformResourceIdentifier("spiffe://chest-net/silo/st-marys"),
            x509.UniformResourceIdentifier("spiffe://chest-net/silo/st-johns"),
        ],
    ],
    ids=["dns look-alike", "dns", "mail", "unknown role", "another scheme", "two ids"],
)
def test_only_one_spiffe_id_is_an_identity(
    consortium: Consortium, hub: Identity, names: list[x509.GeneralName]
) -> None:
    with serving(hub) as (port, echo):
        assert refusal(port, hub.authority_pem, consortium.forge(names, DIAL)) == "identity.no_spiffe_id"
        assert echo.calls == 0


def test_the_ca_cannot_name_members_of_another_consortium(consortium: Consortium, hub: Identity) -> None:
    """The CA's name constraint: TLS itself refuses, so no status comes back."""
    pair = consortium.forge([x509.UniformResourceIdentifier("spiffe://other-net/silo/st-marys")], DIAL)
    with serving(hub) as (port, echo), raw_channel(port, hub.authority_pem, *pair) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/t.Echo/Unary")(b"", timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert echo.calls == 0


@pytest.mark.parametrize("method", ["OfAggregators", "NotInTheTable"])
def test_a_method_is_for_the_roles_in_the_table(hub: Identity, silo: Identity, method: str) -> None:
    with serving(hub) as (port, echo):
        pair = (silo.tls_key_pem, silo.certificate_pem)
        assert refusal(port, hub.authority_pem, pair, method) == "identity.forbidden"
        assert echo.calls == 0


def test_a_silo_that_is_not_on_the_roster_is_refused(consortium: Consortium, hub: Identity, silo: Identity) -> None:
    admitted_later = consortium.silo("newcomer")
    admit = on_roster(study("hub", "st-marys", "st-johns", "st-pauls"))
    with serving(hub, admit=admit) as (port, echo):
        with tls.channel(silo, f"localhost:{port}") as channel:
            channel.unary_unary("/t.Echo/Unary")(b"", timeout=10)
        with (
            tls.channel(admitted_later, f"localhost:{port}") as channel,
            pytest.raises(StudyError) as caught,
            calling("the aggregator"),
        ):
            channel.unary_unary("/t.Echo/Unary")(b"", timeout=10)
        assert caught.value.code == "study.not_on_roster"
        assert "'newcomer' is not on the roster" in str(caught.value)
        assert echo.calls == 1


def test_streams_are_guarded_too(consortium: Consortium, hub: Identity, silo: Identity) -> None:
    def refuse(member: Member) -> None:
        raise IdentityError(f"{member.name} is refused", code="identity.test")

    with serving(hub, admit=refuse) as (port, echo), tls.channel(silo, f"localhost:{port}") as channel:
        for call in (
            lambda: list(channel.unary_stream("/t.Echo/Down")(b"", timeout=10)),
            lambda: channel.stream_unary("/t.Echo/Up")(iter([b"a"]), timeout=10),
            lambda: list(channel.stream_stream("/t.Echo/Both")(iter([b"a"]), timeout=10)),
        ):
            with pytest.raises(IdentityError, match="st-marys is refused"), calling("the aggregator"):
                call()
        assert echo.calls == 0


def test_streams_pass_to_those_who_may(hub: Identity, silo: Identity) -> None:
    who = b"spiffe://chest-net/silo/st-marys"
    with serving(hub) as (port, _), tls.channel(silo, f"localhost:{port}") as channel:
        assert list(channel.unary_stream("/t.Echo/Down")(b"", timeout=10)) == [b"first", who]
        assert channel.stream_unary("/t.Echo/Up")(iter([b"a", b"b"]), timeout=10) == b"2 " + who
        assert list(channel.stream_stream("/t.Echo/Both")(iter([b"a"]), timeout=10)) == [b"a", who]


def test_a_certificate_that_expires_ends_the_next_call_of_a_live_connection(hub: Identity, silo: Identity) -> None:
    present = [datetime.now(UTC)]
    with serving(hub, clock=lambda: present[0]) as (port, echo), tls.channel(silo, f"localhost:{port}") as channel:
        call = channel.unary_unary("/t.Echo/Unary")
        call(b"", timeout=10)
        present[0] += timedelta(days=366)
        with pytest.raises(IdentityError, match="expired") as caught, calling("the aggregator"):
            call(b"", timeout=10)
        assert caught.value.code == "identity.expired"
        assert echo.calls == 1


@pytest.mark.parametrize("change", ["revoked", "expired"])
@pytest.mark.parametrize("method", ["Unary", "Down", "Up", "Both"])
def test_what_ends_the_next_call_ends_one_that_is_open(hub: Identity, silo: Identity, method: str, change: str) -> None:
    """A long poll is not answered any more, nor does an upload or a download go on."""
    present, gone, told = [datetime.now(UTC)], threading.Event(), threading.Event()

    def end() -> None:
        if change == "expired":
            present[0] += timedelta(days=366)
        gone.set()

    def admit(member: Member) -> None:
        if change == "revoked" and gone.is_set():
            raise IdentityError("revoked", code="identity.revoked")

    def answer(context: grpc.ServicerContext) -> bytes:
        told.set()
        gone.wait(10)
        return b"not for a silo that is out"

    def asked() -> Iterator[bytes]:
        yield b"a"
        if method == "Both":
            end()
            yield b"b"

    with (
        serving(hub, answer, admit, lambda: present[0]) as (port, _),
        tls.channel(silo, f"localhost:{port}") as channel,
    ):
        came = channel.stream_stream(f"/t.Echo/{method}")(asked(), timeout=10)
        if method != "Both":
            assert told.wait(10)
            end()
        with pytest.raises(IdentityError) as caught, calling("the aggregator"):
            for message in came:
                assert message in (b"a", b"first")
        assert caught.value.code == f"identity.{change}"


class Line(grpc.ServicerContext):
    """A context with only the properties of a connection."""

    def __init__(self, properties: Mapping[str, Iterable[bytes]]) -> None:
        self._properties = properties

    def auth_context(self) -> Any:
        return self._properties

    def _none(self, *_: Any) -> Any:
        raise NotImplementedError

    abort = abort_with_status = add_callback = cancel = code = details = invocation_metadata = is_active = _none
    peer = peer_identities = peer_identity_key = send_initial_metadata = set_code = set_details = _none
    set_trailing_metadata = time_remaining = trailing_metadata = _none


def line_of(silo: Identity, **changes: list[bytes]) -> Line:
    return Line(
        {
            "ssl_tls_version": [b"TLSv1.3"],
            "ssl_negotiated_key_exchange_group": [b"X25519MLKEM768"],
            "peer_spiffe_id": [silo.member.uri.encode()],
            "x509_pem_cert": [silo.certificate_pem],
            "x509_subject_alternative_name": [silo.member.uri.encode()],
        }
        | changes
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ssl_tls_version": [b"TLSv1.2"]}, "identity.weak_tls"),
        ({"ssl_tls_version": []}, "identity.weak_tls"),
        ({"ssl_negotiated_key_exchange_group": [b"X25519"]}, "identity.weak_tls"),
        ({"ssl_negotiated_key_exchange_group": []}, "identity.weak_tls"),
        ({"peer_spiffe_id": []}, "identity.no_spiffe_id"),
        ({"peer_spiffe_id": [b"\xff"]}, "identity.no_spiffe_id"),
        ({"peer_spiffe_id": [b"spiffe://chest-net/silo/st-marys"] * 2}, "identity.no_spiffe_id"),
        ({"peer_spiffe_id": [b"spiffe://other-net/silo/st-marys"]}, "identity.foreign"),
        ({"peer_spiffe_id": [b"spiffe://chest-net/aggregator/hub"]}, "identity.forbidden"),
        ({"x509_pem_cert": []}, "identity.malformed"),
        ({"x509_pem_cert": [b"nonsense"]}, "identity.malformed"),
    ],
)
def test_every_property_of_the_line_counts(silo: Identity, changes: dict[str, list[bytes]], code: str) -> None:
    guard = Authorisation("chest-net", {}, lambda _: None)
    assert guard.authorise(line_of(silo), SILO_ONLY) == silo.member
    with pytest.raises(IdentityError) as caught:
        guard.authorise(line_of(silo, **changes), SILO_ONLY)
    assert caught.value.code == code


def test_a_plain_connection_is_refused() -> None:
    with pytest.raises(IdentityError):
        Authorisation("chest-net", {}, lambda _: None).authorise(Line({}), SILO_ONLY)


def test_only_the_studys_own_aggregator_is_on_the_roster() -> None:
    admit = on_roster(study("hub", "a", "b", "c"))
    admit(Member("chest-net", Role.AGGREGATOR, "hub"))
    admit(Member("chest-net", Role.SILO, "b"))
    with pytest.raises(IdentityError):
        admit(Member("chest-net", Role.AGGREGATOR, "a"))
    with pytest.raises(StudyError):
        admit(Member("chest-net", Role.SILO, "hub"))


def test_the_table_must_be_complete() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    file.message_type.add(name="Nothing")
    service = file.service.add(name="Blind")
    for name in ("Upload", "Status"):
        service.method.add(name=name, input_type=".t.Nothing", output_type=".t.Nothing")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    blind = pool.FindServiceByName("t.Blind")
    assert methods(blind) == {"/t.Blind/Upload", "/t.Blind/Status"}
    whole = dict.fromkeys(methods(blind), SILO_ONLY)
    check_complete(whole, [blind])
    for wrong in (
        {"/t.Blind/Upload": SILO_ONLY},
        whole | {"/t.Blind/Old": SILO_ONLY},
        whole | {"/t.Blind/Upload": frozenset[Role]()},
    ):
        with pytest.raises(RuntimeError, match=r"/t\.Blind/"):
            check_complete(wrong, [blind])

import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from privacy.channel import tls
from privacy.channel.identity import Identity
from privacy.channel.status import calling
from privacy.errors import ConfigError, IdentityError, Unreachable
from tests.consortium import Consortium
from tests.privacy.channel.hostile import connected
from tests.privacy.channel.serving import raw_channel, serving


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_silo_reaches_its_aggregator(hub: Identity, silo: Identity, host: str) -> None:
    with serving(hub) as (port, _), tls.channel(silo, f"{host}:{port}") as channel:
        assert channel.unary_unary("/t.Echo/Unary")(b"", timeout=10) == b"spiffe://chest-net/silo/st-marys"


def test_the_line_is_post_quantum_tls_1_3(hub: Identity, silo: Identity) -> None:
    def line(context: grpc.ServicerContext) -> bytes:
        properties = context.auth_context()
        return properties["ssl_tls_version"][0] + b" " + properties["ssl_negotiated_key_exchange_group"][0]

    with serving(hub, line) as (port, _), tls.channel(silo, f"localhost:{port}") as channel:
        assert channel.unary_unary("/t.Echo/Unary")(b"", timeout=10) == b"TLSv1.3 X25519MLKEM768"


def test_a_client_of_a_foreign_consortium_is_refused(hub: Identity, foreign: Consortium) -> None:
    stranger = foreign.silo("stranger")
    with (
        serving(hub) as (port, echo),
        raw_channel(port, hub.authority_pem, stranger.tls_key_pem, stranger.certificate_pem) as channel,
    ):
        with pytest.raises(Unreachable), calling("the aggregator"):
            channel.unary_unary("/t.Echo/Unary")(b"", timeout=5)
        assert echo.calls == 0


def test_a_server_of_a_foreign_consortium_is_refused(foreign: Consortium, silo: Identity) -> None:
    impostor = foreign.aggregator("impostor")
    with serving(impostor) as (port, echo), tls.channel(silo, f"localhost:{port}") as channel:
        with pytest.raises(Unreachable), calling("the aggregator"):
            channel.unary_unary("/t.Echo/Unary")(b"", timeout=5)
        assert echo.calls == 0


def test_a_client_without_a_certificate_is_refused(hub: Identity) -> None:
    with serving(hub) as (port, echo), raw_channel(port, hub.authority_pem, None, None) as channel:
        with pytest.raises(Unreachable), calling("the aggregator"):
            channel.unary_unary("/t.Echo/Unary")(b"", timeout=5)
        assert echo.calls == 0


def test_an_expired_client_is_refused_by_the_server(hub: Identity, consortium: Consortium) -> None:
    expired = consortium.silo("expired", now=datetime.now(UTC) - timedelta(days=400))
    with (
        serving(hub) as (port, echo),
        raw_channel(port, hub.authority_pem, expired.tls_key_pem, expired.certificate_pem) as channel,
    ):
        with pytest.raises(Unreachable), calling("the aggregator"):
            channel.unary_unary("/t.Echo/Unary")(b"", timeout=5)
        assert echo.calls == 0


def test_an_expired_certificate_is_told_before_dialling(silo: Identity) -> None:
    with pytest.raises(IdentityError, match=r"expired on .* renew it") as caught:
        tls.channel(silo, "localhost:1", now=datetime.now(UTC) + timedelta(days=366))
    assert caught.value.code == "identity.expired"


def test_an_expired_aggregator_does_not_start(hub: Identity) -> None:
    with pytest.raises(IdentityError, match="expired"):
        tls.server_credentials(hub, now=datetime.now(UTC) + timedelta(days=366))


def test_an_aggregators_certificate_cannot_dial(hub: Identity) -> None:
    with (
        serving(hub) as (port, echo),
        raw_channel(port, hub.authority_pem, hub.tls_key_pem, hub.certificate_pem) as channel,
    ):
        with pytest.raises(Unreachable), calling("the aggregator"):
            channel.unary_unary("/t.Echo/Unary")(b"", timeout=5)
        assert echo.calls == 0


def test_a_silos_certificate_cannot_serve(consortium: Consortium, silo: Identity) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    pair = (silo.tls_key_pem, silo.certificate_pem)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair], silo.authority_pem, True))
    server.start()
    with tls.channel(silo, f"127.0.0.1:{port}") as channel, pytest.raises(Unreachable), calling("the aggregator"):
        channel.unary_unary("/t.Echo/Unary")(b"", timeout=5)
    server.stop(0).wait()


def test_a_role_cannot_be_mistaken(hub: Identity, silo: Identity) -> None:
    with pytest.raises(ConfigError, match="role 'aggregator' is needed"):
        tls.server_credentials(silo)
    with pytest.raises(ConfigError, match="role 'silo' is needed"):
        tls.channel(hub, "localhost:1")


def test_the_host_name_is_verified(consortium: Consortium, silo: Identity) -> None:
    elsewhere = consortium.aggregator("elsewhere", hosts=("agg.example.org",))
    with serving(elsewhere) as (port, echo), tls.channel(silo, f"localhost:{port}") as channel:
        with pytest.raises(Unreachable), calling("the aggregator"):
            channel.unary_unary("/t.Echo/Unary")(b"", timeout=5)
        assert echo.calls == 0


def test_a_call_over_tls_1_2_is_refused_with_the_reason(hub: Identity, silo: Identity) -> None:
    """A real call in hand-made HTTP/2: grpcio speaks 1.3 by itself and cannot be told to speak 1.2."""
    with serving(hub) as (port, echo), connected(silo, port, version=ssl.TLSVersion.TLSv1_2) as line:
        line.call("/t.Echo/Unary")
        assert line.read(b"the connection is not TLS 1.3")
        assert echo.calls == 0


def test_messages_have_a_size(hub: Identity, silo: Identity) -> None:
    with serving(hub) as (port, echo), tls.channel(silo, f"localhost:{port}") as channel:
        call = channel.unary_unary("/t.Echo/Unary")
        with pytest.raises(grpc.RpcError) as caught:
            call(bytes(tls.MAX_MESSAGE_BYTES + 1), timeout=10)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert echo.calls == 0
        call(bytes(tls.MAX_MESSAGE_BYTES - 1000), timeout=10)


def test_a_port_is_taken_once(hub: Identity) -> None:
    with serving(hub) as (port, _):
        server = grpc.server(ThreadPoolExecutor(1), options=tls.SERVER_OPTIONS)
        with pytest.raises(ConfigError, match="cannot listen") as caught:
            tls.listen(server, hub, f"127.0.0.1:{port}")
        assert caught.value.code == "config.address"


@pytest.mark.parametrize(
    ("target", "parts"),
    [("agg.example.org:443", ("agg.example.org", 443)), ("10.0.0.1:1", ("10.0.0.1", 1)), ("[::1]:8443", ("::1", 8443))],
)
def test_a_target_is_host_and_port(target: str, parts: tuple[str, int]) -> None:
    assert tls.host_and_port(target) == parts


@pytest.mark.parametrize(
    "target", ["", "localhost", "localhost:", ":443", "unix:/run/x", "dns:///a:1", "a:70000", "a:1:2", "a b:1", "a:1\n"]
)
def test_any_other_target_is_refused(silo: Identity, target: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        tls.channel(silo, target)


def test_loopback_is_known() -> None:
    assert [tls.is_loopback(host) for host in ("localhost", "127.0.0.9", "::1", "10.0.0.1", "agg.example.org")] == [
        True,
        True,
        True,
        False,
        False,
    ]

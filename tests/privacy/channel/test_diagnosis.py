import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from privacy.channel.diagnosis import diagnose
from privacy.channel.identity import Identity
from privacy.channel.member import Role
from privacy.errors import IdentityError, Unreachable
from privacy.operations import reach
from tests.consortium import Consortium
from tests.privacy.channel.breaking_proxy import BreakingProxy
from tests.privacy.channel.serving import serving
from tests.privacy.operations.answering import answering


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_nobody_listens(silo: Identity) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = diagnose(silo, f"127.0.0.1:{free.getsockname()[1]}")
    assert isinstance(found, Unreachable)
    assert "start the aggregator" in str(found)


def test_an_unknown_name(silo: Identity) -> None:
    found = diagnose(silo, "no-such-host.invalid:443")
    assert (type(found), found.code) == (Unreachable, "peer.unknown_host")


def test_a_foreign_aggregator(silo: Identity, foreign: Consortium) -> None:
    with serving(foreign.aggregator("foreign-hub")) as (port, _):
        found = diagnose(silo, f"localhost:{port}")
    assert (type(found), found.code) == (IdentityError, "identity.foreign")


def test_a_certificate_for_another_host(silo: Identity, consortium: Consortium) -> None:
    with serving(consortium.aggregator("far", hosts=("agg.example.org",))) as (port, _):
        for host in ("localhost", "127.0.0.1"):
            found = diagnose(silo, f"{host}:{port}")
            assert (type(found), found.code) == (IdentityError, "identity.other_host")


def test_an_expired_aggregator(silo: Identity, consortium: Consortium) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=400)
    old = consortium.enrol(Role.AGGREGATOR, "old-hub", ("localhost",), long_ago)
    server = grpc.server(ThreadPoolExecutor(1))
    pair = (old.tls_key_pem, old.certificate_pem)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair], old.authority_pem, True))
    server.start()
    found = diagnose(silo, f"localhost:{port}")
    server.stop(0).wait()
    assert (type(found), found.code) == (Unreachable, "peer.certificate_expired")


def test_a_device_that_opens_tls_and_passes_nothing_on(hub: Identity, silo: Identity) -> None:
    device = BreakingProxy(1, hub.authority_pem)
    with device.running() as port:
        found = diagnose(silo, f"localhost:{port}", trusted=device.trusted)
        assert (type(found), found.code) == (Unreachable, "peer.proxy")
        assert diagnose(silo, f"localhost:{port}").code == "identity.foreign"


def test_something_that_speaks_no_tls(silo: Identity) -> None:
    with answering(lambda line: line.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")) as port:
        found = diagnose(silo, f"127.0.0.1:{port}")
    assert isinstance(found, Unreachable)
    assert "does not speak TLS" in str(found)


def test_something_that_says_nothing(silo: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(reach, "SECONDS", 0.2)
        found = diagnose(silo, f"127.0.0.1:{server.getsockname()[1]}")
    assert isinstance(found, Unreachable)


def test_an_aggregator_that_is_right_but_closes(silo: Identity, hub: Identity) -> None:
    with serving(hub) as (port, _):
        found = diagnose(silo, f"localhost:{port}")
    assert (type(found), found.code) == (Unreachable, "peer.closed")


def test_a_proxy_is_not_bypassed(silo: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    found = diagnose(silo, "agg.example.org:443")
    assert (type(found), found.code) == (Unreachable, "peer.proxy")

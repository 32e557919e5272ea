"""Each step of the way to the aggregator, broken by a real server, proxy or certificate, and told as what it is."""

import base64
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from privacy.channel.member import Role
from privacy.errors import CollegiumError, ConfigError, IdentityError, Unreachable
from privacy.operations import findings, reach, route
from tests.consortium import Consortium
from tests.privacy.channel.breaking_proxy import BreakingProxy
from tests.privacy.channel.serving import serving
from tests.privacy.operations.answering import answering


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    made = Consortium(tmp_path_factory.mktemp("ours"))
    made.aggregator()
    made.silo("north")
    return made


@pytest.fixture(scope="module")
def ours(consortium: Consortium) -> tuple[object, object]:
    from privacy.channel.identity import Identity

    return tuple(Identity.load(consortium.state(name) / "identity") for name in ("hub", "north"))  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_proxy", *route.UNREAD):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(reach, "SECONDS", 1.0)


def proxying(password: str, status: bytes = b"200") -> Callable[[socket.socket], None]:
    """A proxy that wants a password, and ends each connection after its answer."""
    wanted = b"Basic " + base64.b64encode(f"it:{password}".encode())

    def answer(connection: socket.socket) -> None:
        asked = connection.recv(4096)
        connection.sendall(b"HTTP/1.1 " + (status if wanted in asked else b"407") + b" So\r\n\r\n")

    return answer


def told(identity: object, target: str) -> dict[str, findings.Finding]:
    checks = route.checks(identity, target)  # type: ignore[arg-type]
    return {one.check: one for one in findings.examine(findings.in_order(checks))}


def test_an_aggregator_that_serves(ours) -> None:  # type: ignore[no-untyped-def]
    with serving(ours[0]) as (port, _):
        found = told(ours[1], f"localhost:{port}")
    assert [one.state for one in found.values()] == [findings.WELL] * 3, found
    assert "TLSv1.3" in found["TLS"].found


def test_a_device_that_opens_tls_is_named(ours, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    device = Consortium(tmp_path, "inspection-device").aggregator()
    with serving(device) as (port, _):
        found = told(ours[1], f"localhost:{port}")["TLS"]
    assert found.state == findings.FAILED
    assert isinstance(found.error, IdentityError)
    assert device.authority.subject.rfc4514_string() in found.found
    assert "TLS inspection" in found.mend
    assert "one_way_tls" in found.mend


def test_a_one_way_line_is_vouched_for_by_the_proxys_ca(ours) -> None:  # type: ignore[no-untyped-def]
    proxy = BreakingProxy(1, ours[0].authority_pem)
    with proxy.running() as port:
        checks = list(route.checks(ours[1], f"localhost:{port}", trusted=proxy.trusted))
        found = {one.check: one for one in findings.examine(checks)}["TLS"]
        assert (found.state, found.error) == (findings.WELL, None)
        assert "one-way line" in found.found
        assert "hospital proxy CA" in found.found
    with serving(ours[0]) as (port, _):
        checks = list(route.checks(ours[1], f"localhost:{port}", trusted=proxy.trusted))
        found = {one.check: one for one in findings.examine(checks)}["TLS"]
    assert found.error is not None
    assert "proxy-ca.pem" in found.mend


def test_a_proxy_without_http2_is_told(ours, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    proxy = BreakingProxy(1, ours[0].authority_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (tmp_path / "pair.pem").write_bytes(proxy._key + proxy._certificate)
    context.load_cert_chain(tmp_path / "pair.pem")

    def answer(connection: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as line:
            line.recv(1)

    with answering(answer) as port:
        checks = list(route.checks(ours[1], f"localhost:{port}", trusted=proxy.trusted))
        found = {one.check: one for one in findings.examine(checks)}["TLS"]
    assert found.error is not None
    assert found.error.code == "peer.http2"


def test_something_that_speaks_no_tls(ours) -> None:  # type: ignore[no-untyped-def]
    with answering(lambda connection: connection.sendall(b"SSH-2.0\r\n" * 100)) as port:
        found = told(ours[1], f"127.0.0.1:{port}")
    assert (found["connection"].state, found["TLS"].state) == (findings.WELL, findings.FAILED)


@pytest.mark.parametrize(
    ("does", "word"),
    [
        (lambda line: line.recv(1) and time.sleep(0.5), "then says nothing"),
        (lambda line: line.recv(1), "closes the connection"),
        (lambda line: line.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n"), "something else answers"),
    ],
)
def test_what_is_no_tls_is_told_apart(ours, does, word: str, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(reach, "SECONDS", 0.3)
    with answering(does) as port:
        found = told(ours[1], f"127.0.0.1:{port}")["TLS"]
    assert found.error is not None
    assert found.error.code == "peer.tls"
    assert word in found.found


def test_a_device_that_speaks_an_older_tls_is_named(ours, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    device = BreakingProxy(1, ours[0].authority_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    (tmp_path / "pair.pem").write_bytes(device._key + device._certificate)
    context.load_cert_chain(tmp_path / "pair.pem")

    def answer(connection: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as line:
            line.recv(1)

    with answering(answer) as port:
        found = told(ours[1], f"localhost:{port}")["TLS"]
    assert "TLSv1.2" in found.found
    assert "hospital proxy CA" in found.found
    assert "TLS inspection" in found.mend


def test_an_aggregator_out_of_date_and_one_of_another_name(ours, consortium: Consortium) -> None:  # type: ignore[no-untyped-def]
    old = consortium.enrol(Role.AGGREGATOR, "old-hub", ("localhost",), datetime.now(UTC) - timedelta(days=400))
    server = grpc.server(ThreadPoolExecutor(1))
    pair = (old.tls_key_pem, old.certificate_pem)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair], old.authority_pem, True))
    server.start()
    found = told(ours[1], f"localhost:{port}")["TLS"]
    server.stop(0).wait()
    assert found.error is not None
    assert found.error.code == "peer.certificate_expired"
    assert f"{old.certificate.not_valid_after_utc:%Y-%m-%d}" in found.found
    assert "clock" in found.mend
    with serving(consortium.aggregator("far", hosts=("agg.example.org", "10.1.2.3"))) as (port, _):
        found = told(ours[1], f"localhost:{port}")["TLS"]
    assert found.error is not None
    assert found.error.code == "identity.other_host"
    assert "agg.example.org, 10.1.2.3" in found.found


def test_a_proxy_that_grpc_does_not_read_is_pointed_at(ours, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("HTTPS_PROXY", "http://it:secret@proxy:3128")
    found = told(ours[1], "no-such-host.invalid:1")
    assert (found["proxy"].state, found["DNS"].state) == (findings.DOUBTFUL, findings.FAILED)
    assert "HTTPS_PROXY is not read" in found["proxy"].found
    assert "secret" not in f"{found['proxy']}"


def test_nobody_answers(ours) -> None:  # type: ignore[no-untyped-def]
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        found = told(ours[1], f"127.0.0.1:{unused.getsockname()[1]}")["connection"]
    assert isinstance(found.error, Unreachable)
    assert "firewall" in found.mend


def test_an_unknown_name(ours) -> None:  # type: ignore[no-untyped-def]
    found = told(ours[1], "no-such-host.invalid:1")["DNS"]
    assert found.error is not None
    assert found.error.code == "peer.unknown_host"


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("http://it:wrong@127.0.0.1:{}", b"200", "peer.proxy_login"),
        ("http://127.0.0.1:{}", b"200", "peer.proxy_login"),
        ("http://it:right@127.0.0.1:{}", b"403", "peer.proxy"),
        ("http://it:right@127.0.0.1:{}", b"502", "peer.proxy"),
        ("http://it:right@127.0.0.1:99999", b"200", "config.proxy"),
        ("http://[::1", b"200", "config.proxy"),
        ("http://no-such-proxy.invalid:3128", b"200", "peer.proxy"),
        ("https://127.0.0.1:{}", b"200", "config.proxy"),
        ("http://127.0.0.1:1", b"200", "peer.proxy"),
    ],
)
def test_a_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch, ours, url: str, status: bytes, code: str) -> None:  # type: ignore[no-untyped-def]
    with answering(proxying("right", status)) as port:
        monkeypatch.setenv("https_proxy", url.format(port))
        found = told(ours[1], "aggregator.example.org:8443")
    assert "DNS" not in found, "with a proxy the name is the proxy's to know"
    assert found["proxy"].error is not None
    assert found["proxy"].error.code == code
    assert ":right" not in f"{found['proxy']}"
    assert ":wrong" not in f"{found['proxy']}"
    assert found["proxy"].mend
    assert found["TLS"].state == findings.SKIPPED


def test_a_proxy_that_lets_us_through(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(proxying("right")) as port:
        monkeypatch.setenv("https_proxy", f"http://it:right@127.0.0.1:{port}")
        assert reach.through(reach.proxy_for("aggregator.example.org") or "", "aggregator.example.org", 8443)


def test_no_proxy_is_heeded_as_grpc_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "other.org, .example.org")
    assert reach.proxy_for("aggregator.example.org") is None
    assert reach.proxy_for("localhost") is None
    assert reach.proxy_for("example.net") == "http://proxy:3128"


@pytest.mark.parametrize("target", ["aggregator", "https://aggregator:1", "a:99999"])
def test_a_target_that_is_none(ours, target: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError):
        list(route.checks(ours[1], target))


def test_the_exit_code_is_that_of_the_first_failure(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: CollegiumError) -> str:
        raise error

    found = findings.examine(
        [
            ("a", lambda: "well"),
            ("b", lambda: fail(findings.Doubtful("soon; act"))),
            ("c", lambda: fail(IdentityError("wrong; mend"))),
            ("d", lambda: fail(Unreachable("gone; wait"))),
        ]
    )
    assert [one.state for one in found] == [findings.WELL, findings.DOUBTFUL, findings.FAILED, findings.FAILED]
    with pytest.raises(IdentityError):
        findings.show(found, as_json=False)
    assert "-> mend" in capsys.readouterr().out
    findings.show(found[:2], as_json=False)

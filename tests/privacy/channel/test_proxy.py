"""Calls through tinyproxy, a real proxy with basic authentication."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from privacy.channel import tls
from privacy.channel.diagnosis import diagnose
from privacy.channel.identity import Identity
from privacy.channel.one_way.line import Line, Way
from privacy.channel.status import calling
from privacy.errors import ConfigError, Unreachable
from tests.privacy.channel.breaking_proxy import BreakingProxy
from tests.privacy.channel.serving import serving, serving_one_way

PROGRAM = shutil.which("tinyproxy", path=f"{os.environ['PATH']}:/usr/sbin:/usr/bin")


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[int]:
    if PROGRAM is None and os.environ.get("COLLEGIUM_REQUIRE_SERVERS") != "1":
        pytest.skip("install tinyproxy")
    assert PROGRAM is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    (tmp_path / "conf").write_text(
        f"Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nBasicAuth ward s3cret\nMaxClients 20\nTimeout 60\n"
        f'LogFile "{tmp_path}/log"\n'
    )
    process = subprocess.Popen([PROGRAM, "-d", "-c", tmp_path / "conf"], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def test_mutual_tls_goes_through_a_proxy_with_a_password(
    hub: Identity, silo: Identity, proxy: int, tmp_path: Path
) -> None:
    with serving(hub) as (port, _):
        way = f"http://ward:s3cret@127.0.0.1:{proxy}"
        with tls.channel(silo, f"localhost:{port}", proxy=way) as channel, calling("the aggregator"):
            assert channel.unary_unary("/t.Echo/Unary")(b"", timeout=10) == b"spiffe://chest-net/silo/st-marys"
    assert f"CONNECT localhost:{port}" in (tmp_path / "log").read_text()


def test_a_one_way_line_goes_through_a_tunnel_to_the_device_that_opens_tls(
    hub: Identity, silo: Identity, proxy: int, tmp_path: Path
) -> None:
    study = b"s" * 32
    with serving_one_way(hub, [silo], study) as (port, _):
        device = BreakingProxy(port, hub.authority_pem)
        with device.running() as at:
            way = Way(study, hub.keys.public_identity, device.trusted)
            url = f"http://ward:s3cret@127.0.0.1:{proxy}"
            line = Line(silo, f"localhost:{at}", way, lambda *_: None, proxy=url)
            assert line.unary_unary("/t.Echo/Unary")(b"", timeout=10) == b"spiffe://chest-net/silo/st-marys"
            line.close()
    assert f"CONNECT localhost:{at}" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("login", ["", "ward:wrong@"])
def test_a_proxy_that_wants_another_login_is_told_apart(hub: Identity, silo: Identity, proxy: int, login: str) -> None:
    way = f"http://{login}127.0.0.1:{proxy}"
    with serving(hub) as (port, echo), tls.channel(silo, f"localhost:{port}", proxy=way) as channel:
        with pytest.raises(Unreachable), calling("the aggregator"):
            channel.unary_unary("/t.Echo/Unary")(b"", timeout=5)
        error = diagnose(silo, f"localhost:{port}", proxy=way)
        assert echo.calls == 0
    assert isinstance(error, Unreachable)
    assert error.code == "peer.proxy_login"
    assert "s3cret" not in str(error)
    assert "wrong" not in str(error)


@pytest.mark.parametrize("proxy", ["https://ward:s3cret@proxy:3128", "socks5://proxy:1", "proxy:3128", "http://"])
def test_a_proxy_that_grpc_cannot_speak_to_is_refused_before_anything_is_dialled(silo: Identity, proxy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tls.channel(silo, "localhost:1", proxy=proxy)
    assert caught.value.code == "config.proxy"
    assert "HOST:PORT" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_proxy_of_another_kind_is_a_mistake_in_the_configuration(silo: Identity) -> None:
    assert isinstance(diagnose(silo, "localhost:1", proxy="socks5://127.0.0.1:1"), ConfigError)

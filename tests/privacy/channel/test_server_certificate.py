"""A server takes its new certificate up while it serves, and goes on with the old one when it cannot be used."""

import shutil
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from privacy.channel import renewal, tls
from privacy.channel.identity import CERTIFICATE_FILE, NEXT_FOLDER, TLS_FILE, Identity
from tests.consortium import Consortium


@pytest.fixture
def own(tmp_path: Path) -> Consortium:
    """Whose aggregator's folder a test may change."""
    made = Consortium(tmp_path)
    made.aggregator()
    return made


@pytest.fixture
def folder(own: Consortium) -> Path:
    return own.state("hub") / "identity"


@pytest.fixture
def hub(folder: Path) -> Identity:
    return Identity.load(folder)


@pytest.fixture
def port(hub: Identity, folder: Path) -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(1), options=tls.SERVER_OPTIONS)
    port = tls.listen(server, hub, "127.0.0.1:0", folder)
    server.start()
    yield port
    server.stop(0).wait()


def shown(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=10).strip()


def test_it_is_taken_up_once_its_key_is_there(
    own: Consortium, folder: Path, hub: Identity, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    old = hub.certificate_pem.decode().strip()
    assert shown(port) == old
    renewed = own.authority.renew(hub.member, datetime.now(UTC)).certificate
    (folder / CERTIFICATE_FILE).write_text(renewed)
    assert shown(port) == renewed.strip() != old
    other = own.authority.renew(hub.member, datetime.now(UTC), renewal.asked(folder, hub)).certificate
    (folder / CERTIFICATE_FILE).write_text(other)
    for _ in range(2):
        assert shown(port) == renewed.strip(), "the key that fits is not there yet"
    assert len(caplog.records) == 1, "what cannot be used is told once"
    (folder / NEXT_FOLDER / TLS_FILE).replace(folder / TLS_FILE)
    assert shown(port) == other.strip()


def test_one_that_cannot_be_used_is_not(
    own: Consortium, folder: Path, hub: Identity, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Every silo would be refused from then on; each is told once, with what to do."""
    old, good, now = hub.certificate_pem.decode().strip(), folder.with_name("good"), datetime.now(UTC)
    silo = own.silo("st-marys")
    twins = (
        (own.authority.renew(hub.member, now - timedelta(days=400)).certificate, "expired on"),
        (own.authority.renew(hub.member, now + timedelta(days=3)).certificate, "is not valid before"),
        (silo.certificate_pem.decode(), "for another key"),
        ("no certificate", "is not a certificate"),
    )
    for number, (pem, why) in enumerate(twins, 1):
        (folder / CERTIFICATE_FILE).write_text(pem)
        for _ in range(2):
            assert shown(port) == old
        assert len(caplog.records) == number
        assert why in caplog.messages[-1]
    folder.rename(good)
    shutil.copytree(own.state("st-marys") / "identity", folder)
    assert shown(port) == old
    assert "the role 'aggregator' is needed" in caplog.messages[-1]
    shutil.rmtree(folder)
    for _ in range(2):
        assert shown(port) == old, "nor while nothing can be read"
    assert len(caplog.records) == len(twins) + 2
    good.rename(folder)
    renewed = own.authority.renew(hub.member, now).certificate
    (folder / CERTIFICATE_FILE).write_text(renewed)
    assert shown(port) == renewed.strip()

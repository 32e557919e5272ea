"""An archive that does not answer, by real sockets: doctor and `pacs echo` say why."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, Verification

from imaging.sources import associations, unanswered
from imaging.sources.archive import DicomWeb, Dimse, FetchFailed
from imaging.sources.dicomweb import DicomWebArchive
from imaging.sources.dimse import DimseArchive
from imaging.sources.errors import ArchiveUnreachable


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unanswered, "SECONDS", 0.3)


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    answer(connection)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def dimse(port: int, host: str = "127.0.0.1") -> DimseArchive:
    endpoint = Dimse(host=host, port=port, called_ae="PACS", calling_ae="SILO", unencrypted=True)
    return DimseArchive(endpoint, Path())


def said(archive: DimseArchive | DicomWebArchive) -> str:
    with pytest.raises(ArchiveUnreachable) as caught:
        archive.echo()
    assert caught.value.code == "archive.unreachable"
    return str(caught.value)


def test_a_name_that_nobody_knows() -> None:
    assert "name is not known; check host" in said(dimse(104, "no-such-host.invalid"))
    assert "name is not known" in said(
        DicomWebArchive(DicomWeb(url="https://no-such-host.invalid/dicom-web"), Path(), 2**20)
    )


def test_a_port_where_nobody_listens() -> None:
    assert "port 1: the connection is refused" in said(dimse(1))
    assert "port 1: the connection is refused" in said(
        DicomWebArchive(DicomWeb(url="https://localhost:1/dicom-web"), Path(), 2**20)
    )


def test_a_port_that_is_not_of_dicom() -> None:
    with answering(lambda line: line.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")) as port:
        assert "without TLS, and no DICOM association" in said(dimse(port))


def test_a_port_that_takes_the_connection_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(associations, "ECHO_SECONDS", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        told = said(dimse(silent.getsockname()[1]))
    assert "takes the connection without TLS, and then says nothing for 0 s; check that the port" in told
    assert time.monotonic() - began < 5


def test_an_archive_that_does_not_answer_an_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(associations, "ECHO_SECONDS", 0.4)
    over = threading.Event()
    entity = AE(ae_title="PACS")
    entity.add_supported_context(Verification)
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_ECHO, lambda event: over.wait(10) and 0)]
    )
    try:
        with pytest.raises(FetchFailed, match="try again later"):
            dimse(server.server_address[1]).echo()
    finally:
        over.set()
        server.shutdown()


def test_an_archive_that_offers_nothing_of_what_is_asked() -> None:
    entity = AE(ae_title="PACS")
    entity.add_supported_context(CTImageStorage)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    try:
        assert "no DICOM association" in said(dimse(server.server_address[1]))
    finally:
        server.shutdown()


def test_what_is_wrong_with_tls_is_told_apart() -> None:
    context = ssl.create_default_context()
    with answering(lambda line: line.sendall(b"no TLS at all\r\n")) as port:
        found = unanswered.why("127.0.0.1", port, context)
        assert found is not None
        assert "speaks no TLS at port" in str(found)
        assert unanswered.why("127.0.0.1", port, None) is None
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = unanswered.why("127.0.0.1", silent.getsockname()[1], context)
    assert found is not None
    assert "nothing comes" in str(found)

"""Audit messages over TLS to a real server on loopback that reads frames as RFC 5425 has them."""

import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from lxml import etree
from typer.testing import CliRunner

from compliance.app import app
from compliance.exports import dicom_audit
from compliance.exports.dicom_audit import Message
from compliance.exports.syslog import Repository, frame, send
from compliance.studies import Accountants
from privacy.errors import ConfigError, IdentityError, Unreachable
from tests.compliance.evidence import Consortium
from tests.compliance.test_bundle import make

ONE = Message("2026-03-02T08:00:07.000000Z", "0", "<AuditMessage>\N{GREEK SMALL LETTER EPSILON}</AuditMessage>")
BAD = Message("2026-03-02T08:00:14.000000Z", "4", "<AuditMessage/>")
HEADER = re.compile(rb"<(\d+)>1 (\S+) (\S+) collegium - DICOM\+RFC3881 - \xef\xbb\xbf(.*)")


class Authority:
    """A CA that makes certificates for loopback, as files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.secret = folder, ec.generate_private_key(ec.SECP256R1())
        self.file = self._write("ca", self.secret, self.secret, x509.BasicConstraints(ca=True, path_length=0))

    def certificate(self, name: str) -> Path:
        secret = ec.generate_private_key(ec.SECP256R1())
        path = self._write(name, secret, self.secret, x509.BasicConstraints(ca=False, path_length=None))
        pem = secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(path.read_bytes() + pem)
        return path

    def _write(
        self, name: str, own: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, kind: x509.BasicConstraints
    ) -> Path:
        now = datetime.now(UTC)
        hosts = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ca")]))
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(kind, critical=True)
            .add_extension(hosts, critical=False)
            .sign(by, hashes.SHA256())
        )
        path = self.folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path


@dataclass
class Server:
    """What arrived; `port` to connect to."""

    port: int = 0
    data: bytes = b""
    errors: list[Exception] = field(default_factory=list)

    @property
    def messages(self) -> list[bytes]:
        """The frames, exactly: a length, a space, so many octets."""
        found, rest = [], self.data
        while rest:
            length, _, rest = rest.partition(b" ")
            assert len(rest) >= int(length)
            found.append(rest[: int(length)])
            rest = rest[int(length) :]
        return found


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


@contextmanager
def serving(authority: Authority, *, mutual: bool = False, answers: bool = True) -> Iterator[Server]:
    """A repository; one that does not answer cuts the line without ending TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate("server"))
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.file)
    server = Server()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server.port = listening.getsockname()[1]

        def serve() -> None:
            try:
                plain, _ = listening.accept()
                with context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False) as tls:
                    while data := tls.recv(1000):
                        server.data += data
                        if not answers:
                            return
                    tls.unwrap()
            except (OSError, ssl.SSLError) as error:
                server.errors.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server
        listening.close()
        thread.join(10)
        assert not thread.is_alive()


def late() -> Iterator[Message]:
    """Nothing to send, until a refusal has had the time to arrive."""
    time.sleep(0.3)
    yield from ()


def test_messages_arrive_in_frames_with_their_header(authority: Authority) -> None:
    with serving(authority) as server:
        assert send(Repository("127.0.0.1", server.port, authority.file), [ONE, BAD]) == 2
    first, second = (HEADER.fullmatch(message) for message in server.messages)
    assert first
    assert second
    # Facility 10, severity 5 and 4.
    assert (first[1], first[2], first[4].decode()) == (b"85", ONE.time.encode(), ONE.xml)
    assert (second[1], second[4]) == (b"84", b"<AuditMessage/>")
    assert not server.errors


def test_a_repository_of_another_authority_gets_nothing(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    with serving(authority) as server, pytest.raises(IdentityError):
        send(Repository("127.0.0.1", server.port, other.file), [ONE])
    assert server.data == b""


def test_a_repository_of_another_name_gets_nothing(authority: Authority) -> None:
    with serving(authority) as server, pytest.raises(IdentityError):
        send(Repository("localhost", server.port, authority.file), [ONE])
    assert server.data == b""


def test_both_sides_may_show_a_certificate(authority: Authority) -> None:
    mine = authority.certificate("mine")
    with serving(authority, mutual=True) as server:
        send(Repository("127.0.0.1", server.port, authority.file, mine), [ONE])
    assert len(server.messages) == 1
    # Without one, sending works in TLS 1.3 and nothing arrives: it must not pass for done.
    for messages in (lambda: iter([ONE]), late):
        with serving(authority, mutual=True) as server, pytest.raises(Unreachable, match="--cert"):
            send(Repository("127.0.0.1", server.port, authority.file), messages())
        assert server.data == b""


def test_a_line_that_is_cut_is_not_done(authority: Authority) -> None:
    with serving(authority, answers=False) as server, pytest.raises(Unreachable):
        send(Repository("127.0.0.1", server.port, authority.file), [ONE] * 2000)
    with pytest.raises(Unreachable):
        send(Repository("127.0.0.1", server.port, authority.file), [ONE])


@pytest.mark.parametrize("address", ["logs", "logs:", ":6514", "logs:0", "logs:65536", "a b:1", "logs:6514:1", "[x]:1"])
def test_an_address_is_a_host_and_a_port(address: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        Repository.at(address, tmp_path, None, None)


def test_what_is_needed_is_said(tmp_path: Path) -> None:
    found = Repository.at("[::1]:6514", tmp_path / "ca.pem", None, None)
    assert (found.host, found.port) == ("::1", 6514)
    with pytest.raises(ConfigError, match="could not be read"):
        found.context()
    with pytest.raises(ConfigError, match="needs --ca"):
        Repository.at("logs:6514", None, None, None)
    with pytest.raises(ConfigError, match="needs --cert"):
        Repository.at("logs:6514", tmp_path, None, tmp_path)


def test_a_frame_counts_octets() -> None:
    length, _, rest = frame(ONE).partition(b" ")
    assert int(length) == len(rest) == len(rest.decode()) + 3  # the mark is three octets, epsilon two


def test_the_command_writes_and_sends(
    trained: Consortium, accountants: Accountants, authority: Authority, tmp_path: Path
) -> None:
    report = make(trained, accountants, tmp_path / "report")
    file = tmp_path / "audit.xml"
    asked = ["export", "dicom-audit", str(report), "-o", str(file), "--ca", str(authority.file)]

    def export(*arguments: str) -> str:
        ended = CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False)
        return ended.output

    with serving(authority) as server:
        assert "messages" in export(*asked, "--syslog", f"127.0.0.1:{server.port}")
    lines = file.read_text().splitlines()
    assert [HEADER.fullmatch(message)[4].decode() for message in server.messages] == lines  # type: ignore[index]
    for line in lines:
        dicom_audit.validate(etree.fromstring(line))
    with pytest.raises(ConfigError, match="is for dicom-audit"):
        export("export", "dpia", str(report), "-o", str(tmp_path / "x"), "--syslog", "127.0.0.1:1")
    with pytest.raises(ConfigError, match="is for dicom-audit"):
        export(*asked[:4], str(tmp_path / "x"), "--ca", str(authority.file))
    # What could not be sent is in the file.
    with pytest.raises(Unreachable):
        export(*asked[:4], str(tmp_path / "y"), *asked[5:], "--syslog", f"127.0.0.1:{server.port}")
    assert (tmp_path / "y").read_text().splitlines() == lines

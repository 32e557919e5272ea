"""Real archives: Orthanc with its DICOMweb plugin and dcmtk, on this machine's loopback.

Orthanc listens on every address, so all this runs only inside a network namespace of its own, see `test_servers.py`.
"""

import contextlib
import datetime
import ipaddress
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NEEDED = ("Orthanc", "dcmqrscp", "storescp", "storescu", "unshare", "ip")
PATHS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
PATIENCE = 20.0


@dataclass(frozen=True)
class Server:
    """A running archive: where its DIMSE and HTTP ports are."""

    title: str
    port: int
    url: str = ""


def wait(port: int, process: subprocess.Popen) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"the server at {port} did not start (exit status {process.poll()})")


@contextlib.contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[None]:
    with log.open("wb") as said:
        environment = {**os.environ, "PATH": PATHS}
        process = subprocess.Popen(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL, env=environment)
    try:
        wait(port, process)
        yield
    finally:
        process.kill()
        process.wait(PATIENCE)


@contextlib.contextmanager
def orthanc(folder: Path, port: int, http: int, certificates: Path | None = None) -> Iterator[Server]:
    """With certificates: DIMSE over TLS, and a password for HTTP (Debian's Orthanc 1.10.1 dies of a HTTPS request)."""
    folder.mkdir()
    settings = {
        "StorageDirectory": str(folder / "images"),
        "IndexDirectory": str(folder / "images"),
        "Plugins": [PLUGIN],
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": certificates is not None,
        "RegisteredUsers": {"silo": "secret"},
        "DicomAet": "ORTHANC",
        "DicomPort": port,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {"SILO": {"AET": "SILO", "Host": "127.0.0.1", "Port": 11113}},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    if certificates:
        settings |= {
            "DicomTlsEnabled": True,
            "DicomTlsPrivateKey": str(certificates / "server.key"),
            "DicomTlsCertificate": str(certificates / "server.pem"),
            "DicomTlsTrustedCertificates": str(certificates / "ca.pem"),
        }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with running(["Orthanc", str(folder / "orthanc.json")], http, folder / "log"):
        yield Server("ORTHANC", port, f"http://localhost:{http}")


@contextlib.contextmanager
def dcmqrscp(folder: Path, port: int) -> Iterator[Server]:
    (folder / "images").mkdir(parents=True)
    (folder / "dcmqrscp.cfg").write_text(
        'NetworkType = "tcp"\nMaxPDUSize = 16384\nMaxAssociations = 16\n'
        "HostTable BEGIN\nsilo = (SILO, 127.0.0.1, 11113)\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nDCMQR {folder / 'images'} RW (500, 1024mb) ANY\nAETable END\n"
    )
    with running(["dcmqrscp", "-c", str(folder / "dcmqrscp.cfg"), str(port)], port, folder / "log"):
        yield Server("DCMQR", port)


def certify(folder: Path) -> Path:
    """A certificate authority, another that nobody trusts, and certificates of a server and of ourselves."""
    folder.mkdir()
    for authority, names in (("ca", ("server", "silo")), ("other", ())):
        key, certificate = _issue(authority, None, None)
        _write(folder / authority, key, certificate)
        for name in names:
            _write(folder / name, *_issue(name, key, certificate))
    return folder


def _issue(name, issuer_key, issuer):
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(issuer_key or key, hashes.SHA256())
    )
    return key, certificate


def _write(path: Path, key, certificate) -> None:
    path.with_suffix(".key").touch(mode=0o600)
    path.with_suffix(".pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    encoding, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.with_suffix(".key").write_bytes(key.private_bytes(encoding, kind, serialization.NoEncryption()))

"""Audit messages to an audit record repository: syslog (RFC 5424) over TLS (RFC 5425), as DICOM PS3.15 A.6 asks.

Syslog has no answer: that the repository took the messages is shown only by its proper end of the connection, which is
asked for. Whether it keeps them is not known here. The caller keeps a copy of what was to be sent.
"""

import platform
import re
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from compliance.exports.dicom_audit import Message
from privacy.errors import ConfigError, IdentityError, Unreachable

SECONDS: Final = 20.0
"""Patience for each step of the connection."""
_FACILITY: Final = 10  # security and authorisation, as PS3.15 A.6 asks
_NOTICE, _WARNING = 5, 4
_ADDRESS: Final = re.compile(r"(?P<host>[^\s:\[\]]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class Repository:
    """Where messages go, and the files (PEM) to know it by and to be known by; `cert` and `key` may be left out."""

    host: str
    port: int
    ca: Path
    cert: Path | None = None
    key: Path | None = None

    @classmethod
    def at(cls, address: str, ca: Path | None, cert: Path | None, key: Path | None) -> "Repository":
        """From what a person wrote.

        Raises:
            ConfigError: the address is not HOST:PORT, there is no CA, or a key without a certificate.
        """
        found = _ADDRESS.fullmatch(address)
        if found is None or not 0 < int(found["port"]) < 65536:
            raise ConfigError("the audit record repository is named HOST:PORT, such as logs.example.org:6514")
        if ca is None:
            raise ConfigError("--syslog needs --ca, the certificate authority of the audit record repository")
        if key is not None and cert is None:
            raise ConfigError("--key needs --cert, the certificate that the key is of")
        return cls(found["host"].strip("[]"), int(found["port"]), ca, cert, key)

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer, with this CA as the only root and the host's name checked.

        Raises:
            ConfigError: a file is missing or is not what it should be.
        """
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_verify_locations(self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key, password=_refuse)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                "the CA, certificate or key for syslog could not be read; give PEM files, the key without a passphrase"
            ) from error
        return context


def send(repository: Repository, messages: Iterable[Message]) -> int:
    """Send all messages over one connection; returns how many.

    Raises:
        ConfigError: a file of the repository cannot be read.
        IdentityError: the repository does not show a certificate of its CA for its host.
        Unreachable: there is no connection, or it ended before the repository had taken everything.
    """
    context, count = repository.context(), 0
    try:
        with (
            socket.create_connection((repository.host, repository.port), SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=repository.host) as tls,
        ):
            for message in messages:
                tls.sendall(frame(message))
                count += 1
            # With TLS 1.3 a server refuses a client's certificate only after the first data: its answer is waited for.
            tls.unwrap()
    except ssl.SSLCertVerificationError as error:
        raise IdentityError(
            f"the audit record repository's certificate does not hold ({error.verify_message}); check --ca and the host"
        ) from error
    except (OSError, ssl.SSLError) as error:
        raise Unreachable(
            f"the connection to the audit record repository failed after {count} messages; it may have some of them. "
            "Look there, and whether it asks for a certificate (--cert, --key)"
        ) from error
    return count


def frame(message: Message) -> bytes:
    """A message as it is sent: its length in octets, a space, header and XML (RFC 5425, section 4.3)."""
    priority = _FACILITY * 8 + (_NOTICE if message.outcome == "0" else _WARNING)
    header = f"<{priority}>1 {message.time} {_host()} collegium - DICOM+RFC3881 - "
    # The mark says that the text is UTF-8 (RFC 5424, section 6.4).
    data = header.encode("ascii") + b"\xef\xbb\xbf" + message.xml.encode()
    return b"%d %b" % (len(data), data)


def _host() -> str:
    """This machine's name, of printable ASCII; nil if it has none."""
    return re.sub(r"[^!-~]", "", platform.node())[:255] or "-"


def _refuse() -> str:
    raise ConfigError("the key for syslog has a passphrase; give one without")

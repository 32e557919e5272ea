"""Audit messages to an audit record repository: syslog (RFC 5424) over TLS (RFC 5425), as DICOM PS3.15 A.6 asks.

Syslog has no answer: that the repository took the messages is shown only by its proper end of the connection, which is
asked for. Whether it keeps them is not known here. The caller keeps a copy of what was to be sent.
"""

import contextlib
import platform
import re
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from compliance.exports.dicom_audit import Message
from privacy.errors import ConfigError, IdentityError, Unreachable

T = TypeVar("T")

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
        with socket.create_connection((repository.host, repository.port), SECONDS) as plain:
            line = _Line(plain, context, repository.host)
            for message in messages:
                line.send(frame(message))
                count += 1
            line.end()
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


class _Line:
    """TLS over a socket, with an end that tells a refusal from an orderly one.

    With TLS 1.3 a server refuses a client's certificate only after the client's first data. `SSLSocket.unwrap` passes
    over that alert where it has arrived already: OpenSSL counts it as the end. So here the end is sent, then read for.
    """

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._plain = plain
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._step(self._tls.do_handshake)

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._step(lambda: self._tls.write(data))

    def end(self) -> None:
        """Say that nothing follows, and wait until the other side says so too; what it says before is passed over."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        with contextlib.suppress(ssl.SSLZeroReturnError):
            while self._step(lambda: self._tls.read(1024)):
                pass

    def _step(self, action: Callable[[], T]) -> T:
        while True:
            try:
                done = action()
            except ssl.SSLWantReadError:
                self._plain.sendall(self._outgoing.read())
                if data := self._plain.recv(1 << 16):
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                self._plain.sendall(self._outgoing.read())
                return done


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

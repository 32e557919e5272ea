"""A member that means ill: HTTP/2 by hand over its good certificate, so that no client of grpcio holds it back."""

import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from privacy.channel.identity import Identity

DATA, HEADERS, RESET, SETTINGS, PING, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1


class Line:
    """One connection; `call` opens streams on it, `send` sends what it is told.

    The limits of the server hold from when they are acknowledged; one that does not is `deaf`.
    """

    def __init__(self, line: ssl.SSLSocket, *, deaf: bool = False) -> None:
        self._line, self._next = line, 1
        self._line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(SETTINGS, 0, 0))
        if not deaf:
            self._line.recv(4096)  # which begins with them
            self._line.sendall(_frame(SETTINGS, ACK, 0))

    def call(self, method: str, more: bytes = b"") -> int:
        """Send the headers of a call, and `more` in the same write; the number of its stream."""
        stream, self._next = self._next, self._next + 2
        self._line.sendall(_frame(HEADERS, END_HEADERS, stream, _block(method)) + more)
        return stream

    def call_with(self, method: str, name: str, value: str, times: int) -> int:
        """Send the headers of a call, with a piece of metadata so many times; the number of its stream."""
        return self._call(_block(method) + _field(name, value) * times)

    def call_with_references(self, method: str, times: int) -> int:
        """Send the headers of a call with a short piece of metadata so many times, a byte each; its stream's number."""
        return self._call(_block(method) + b"\x40\x03x-a\x01v" + b"\xbe" * times)  # RFC 7541, 6.2.1 and 6.1

    def _call(self, block: bytes) -> int:
        stream, self._next = self._next, self._next + 2
        first, *more = (block[at : at + 16_000] for at in range(0, len(block), 16_000))
        frames = [_frame(HEADERS, 0, stream, first), *(_frame(CONTINUATION, 0, stream, part) for part in more)]
        self._line.sendall(b"".join(frames) + _frame(CONTINUATION, END_HEADERS, stream))
        return stream

    def reset_many(self, method: str, count: int) -> None:
        """Open calls and reset each at once."""
        block = _block(method)
        made = []
        for _ in range(count):
            made.append(_frame(HEADERS, END_HEADERS, self._next, block) + _frame(RESET, 0, self._next, b"\0\0\0\x08"))
            self._next += 2
        self._line.sendall(b"".join(made))

    def send(self, stream: int, *parts: bytes) -> None:
        """DATA frames, one a part."""
        self._line.sendall(b"".join(_frame(DATA, 0, stream, part) for part in parts))

    def ping(self, number: int) -> None:
        """To be answered with the same number."""
        self._line.sendall(_frame(PING, 0, 0, number.to_bytes(8, "big")))

    def end(self, stream: int) -> None:
        """Nothing more comes on this stream."""
        self._line.sendall(_frame(DATA, END_STREAM, stream))

    def read(self, wanted: bytes, seconds: float = 10.0) -> bool:
        """Whether `wanted` comes within the time; False also when the other end closes."""
        self._line.settimeout(seconds)
        seen = b""
        try:
            while wanted not in seen:
                part = self._line.recv(65536)
                if not part:
                    return False
                seen = seen[-1000:] + part
        except OSError:
            return False
        return True


@contextmanager
def connected(
    identity: Identity, port: int, *, deaf: bool = False, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Iterator[Line]:
    """A connection of a member, over this version of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = version
    context.load_verify_locations(cadata=identity.authority_pem.decode())
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(identity.certificate_pem + identity.tls_key_pem)
        context.load_cert_chain(file.name)
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as line,
    ):
        yield Line(line, deaf=deaf)


def message(size: int, claimed: int | None = None) -> bytes:
    """A gRPC message of zeros, which claims to be of another size if told."""
    return b"\0" + (size if claimed is None else claimed).to_bytes(4, "big") + bytes(size)


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _block(method: str) -> bytes:
    headers = {
        ":method": "POST",
        ":scheme": "https",
        ":path": method,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    return b"".join(_field(name, value) for name, value in headers.items())


def _field(name: str, value: str) -> bytes:
    return b"\x00" + bytes([len(name)]) + name.encode() + _length(len(value)) + value.encode()


def _length(size: int) -> bytes:
    """RFC 7541, 5.1, of a string that is not compressed."""
    if size < 127:
        return bytes([size])
    size, more = size - 127, b"\x7f"
    while size >= 128:
        size, more = size >> 7, more + bytes([size & 127 | 128])
    return more + bytes([size])

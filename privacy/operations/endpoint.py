"""`/livez`, `/readyz` and `/metrics` over HTTP on loopback or a unix socket: never anywhere else, and off by default.

One request at a time in one thread, each with little time and of little size, so that whoever asks cannot use up the
machine. There is nothing to change through it: other methods and paths are refused. So is, at a port, who asks for
another host's name: a browser on this machine does, when a page of a stranger has the name it came from resolve to
loopback (DNS rebinding). An address cannot be made to mean another, and programs that send no name are no browsers.
"""

import io
import ipaddress
import os
import re
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from privacy.channel.tls import host_and_port, is_loopback
from privacy.errors import ConfigError
from privacy.operations.metrics import CONTENT_TYPE

UNIX = "unix:"
REQUEST_SECONDS = 5.0
ELSEWHERE = (
    "this answers to localhost and to addresses, not to the name that was asked for; have a proxy set Host: localhost, "
    "or use --watch-at unix:PATH\n"
)
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:/@]+))(?::[0-9]{1,5})?")


class Endpoint:
    """Answers at an address until it is closed.

    Args:
        address: `127.0.0.1:PORT`, `[::1]:PORT` (port 0 takes a free one) or `unix:PATH`.
        metrics: gives the text of `/metrics`.
        lacking: gives what is missing before the program is ready, a word each; empty when it is.

    Raises:
        ConfigError: the address is another, or taken.
    """

    def __init__(self, address: str, metrics: Callable[[], str], lacking: Callable[[], Sequence[str]]) -> None:
        self._path = Path(address.removeprefix(UNIX)) if address.startswith(UNIX) else None
        handler = _handler(metrics, lacking)
        try:
            self._server = _at_path(self._path, handler) if self._path else _at_port(address, handler)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {address}; stop what holds it or choose another address", code="config.address"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="endpoint", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port of loopback; 0 for a unix socket."""
        return 0 if self._path else int(self._server.server_address[1])

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


class _Server(HTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever goes away amid an answer is no defect of ours; anything else is told as before."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _UnixServer(_Server):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        path = str(self.server_address)
        self.socket.bind(path)
        os.chmod(path, 0o600)  # nobody can connect before it listens  # noqa: PTH101
        self.server_name, self.server_port = "localhost", 0

    def get_request(self) -> tuple[Any, Any]:
        connection, _ = self.socket.accept()
        return connection, ("unix", 0)


class _Ipv6Server(_Server):
    address_family = socket.AF_INET6


class _Request(socket.SocketIO):
    """What a client asks: all of it within `REQUEST_SECONDS`, however often a byte of it comes."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection, "r")
        self._line, self._until = connection, time.monotonic() + REQUEST_SECONDS

    def readinto(self, buffer: Any) -> int | None:
        self._line.settimeout(max(0.001, self._until - time.monotonic()))
        return super().readinto(buffer)


def _at_port(address: str, handler: type[BaseHTTPRequestHandler]) -> HTTPServer:
    host, port = host_and_port(address)
    if not is_loopback(host):
        raise ConfigError(
            f"{address} is not on this machine: give 127.0.0.1:PORT or unix:PATH, and let a proxy of yours carry it on",
            code="config.address",
        )
    return (_Ipv6Server if ":" in host else _Server)((host, port), handler)


def _at_path(path: Path, handler: type[BaseHTTPRequestHandler]) -> HTTPServer:
    if path.exists() and stat.S_ISSOCK(path.lstat().st_mode):
        path.unlink()  # of a process that was killed; the state directory's lock keeps a second one out
    return _UnixServer(os.fspath(path), handler)  # type: ignore[arg-type]  # the stubs know host and port alone


def _handler(metrics: Callable[[], str], lacking: Callable[[], Sequence[str]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_SECONDS
        server_version, sys_version = "collegium", ""

        def setup(self) -> None:
            """Have the request end in time."""
            super().setup()
            self.rfile = io.BufferedReader(_Request(self.connection))

        def do_GET(self) -> None:
            """Answer one of three paths."""
            if not isinstance(self.server, _UnixServer) and not all(map(_is_here, self.headers.get_all("Host", []))):
                self._answer(421, ELSEWHERE)
            elif self.path == "/livez":
                self._answer(200, "ok\n")
            elif self.path == "/readyz":
                missing = lacking()
                self._answer(503 if missing else 200, "".join(f"not ready: {one}\n" for one in missing) or "ok\n")
            elif self.path == "/metrics":
                self._answer(200, metrics(), CONTENT_TYPE)
            else:
                self._answer(404, "there is /livez, /readyz and /metrics\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in http.server
            """Say nothing: whoever scrapes does so all day."""

        def _answer(self, code: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
            data = text.encode()
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.connection.settimeout(REQUEST_SECONDS)  # for all of the answer
            self.wfile.write(data)

    return Handler


def _is_here(host: str) -> bool:
    """Whether a Host header names this machine, or an address, which is what was dialled."""
    match = _HOST.fullmatch(host.strip().lower())
    if match is None:
        return False
    try:
        ipaddress.ip_address(match[1] or match[2])
    except ValueError:
        return match[2] == "localhost"
    return True

"""A relay on loopback: it keeps every byte that passes, as somebody on the line would, and may be a bad line."""

import math
import queue
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

NO_LINGER = struct.pack("ii", 1, 0)
"""For SO_LINGER: a close is a reset (RST), not an end (FIN)."""
NARROW = 1 << 16
"""Bytes that wait in a socket of a line that is slow or breaks: what is on its way is then lost, and little is."""


@dataclass(frozen=True)
class Weather:
    """How a line is.

    Attributes:
        cuts: the n-th connection ends when `cuts[n]` bytes went to the port; those beyond the list are left whole.
        reset: whether it then ends with a reset.
        delay: seconds each way.
        bytes_a_second: of each connection, each way.
    """

    cuts: Sequence[int] = ()
    reset: bool = False
    delay: float = 0.0
    bytes_a_second: float = math.inf

    @property
    def narrow(self) -> bool:
        return self.reset or self.delay > 0 or self.bytes_a_second < math.inf


class Relay:
    """Forwards connections to `port` of this machine while the context is open."""

    def __init__(self, port: int, cuts: Sequence[int] = (), weather: Weather | None = None) -> None:
        self._weather = weather or Weather(cuts)
        self._cuts = iter(self._weather.cuts)
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        if self._weather.narrow:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
        self._lock = threading.Lock()
        self._clear = _open_way()
        self._ways = [self._clear]
        self._seen = bytearray()
        self._sockets: list[socket.socket] = [self._listener]
        self.connections = 0
        self.sent = 0

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def seen(self) -> bytes:
        """All bytes of both directions."""
        with self._lock:
            return bytes(self._seen)

    def lead_to(self, port: int) -> None:
        """Connections that come from now on go to that port."""
        self._target = port

    def hold(self) -> None:
        """From now on nothing passes and nobody is told: new connections are taken, and hear nothing."""
        self._clear.clear()

    def release(self) -> None:
        """Let pass what came meanwhile, and go on."""
        self._clear.set()

    def swallow(self) -> None:
        """Nothing passes any more on the connections of now and nobody is told, as when a NAT forgot them."""
        with self._lock:
            forgotten, self._clear = self._clear, _open_way()
            self._ways.append(self._clear)
        forgotten.clear()

    def reset(self) -> None:
        """Break all connections at once."""
        with self._lock:
            broken, self._sockets = self._sockets[1:], self._sockets[:1]
        for each in broken:
            _reset(each)

    def __enter__(self) -> "Relay":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            sockets, ways = tuple(self._sockets), tuple(self._ways)
        for way in ways:
            way.set()
        for each in sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # nobody serves at present
                _reset(near)
                continue
            with self._lock:
                self.connections += 1
                self._sockets += [near, far]
                clear = self._clear
            for source, sink, left in ((near, far, next(self._cuts, math.inf)), (far, near, math.inf)):
                threading.Thread(target=self._pump, args=(source, sink, left, clear, sink is far), daemon=True).start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, left: float, clear: threading.Event, outwards: bool
    ) -> None:
        try:
            for data in self._arriving(source):
                clear.wait()
                sink.sendall(data)
                with self._lock:
                    self._seen += data
                    self.sent += len(data) * outwards
                left -= len(data)
                if left <= 0:
                    break
            else:
                sink.shutdown(socket.SHUT_WR)
                return
            for end in (source, sink):
                _reset(end) if self._weather.reset else end.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _arriving(self, source: socket.socket) -> Iterator[bytes]:
        """What comes, as late and as slowly as the line is."""
        weather = self._weather
        if not weather.narrow:
            yield from iter(lambda: source.recv(NARROW), b"")
            return
        waiting: queue.Queue[tuple[float, bytes]] = queue.Queue(16)

        def listen() -> None:
            data = b"-"
            while data:
                data = b""
                with suppress(OSError):
                    data = source.recv(NARROW // 4)
                waiting.put((time.monotonic() + weather.delay, data))

        threading.Thread(target=listen, daemon=True).start()
        while (arrived := waiting.get())[1]:
            due, data = arrived
            time.sleep(max(0.0, due - time.monotonic()) + len(data) / weather.bytes_a_second)
            yield data


def _open_way() -> threading.Event:
    way = threading.Event()
    way.set()
    return way


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        # A thread that reads it keeps the socket open: without this it would never be told.
        end.shutdown(socket.SHUT_RD)
        end.close()

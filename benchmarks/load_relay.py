"""A line on loopback that counts every byte of TCP, and breaks: for `benchmarks.load`.

Each byte goes from socket to socket inside the kernel (splice), so that the line costs the machine little. While
`resets` is above 0, each `PIECE_BYTES` that passed in one direction of a connection end it with that probability: both
sides get an RST, and what was on its way is lost.
"""

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType

import numpy as np

PIECE_BYTES = 256 * 2**10
_LOOK_MILLISECONDS = 200
_ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER: close by RST."""


class Relay:
    """Forwards connections on a port of its own to `target`, while the context is open.

    Args:
        target: port of this machine.
        seed: of the draws.
    """

    def __init__(self, target: int, seed: int) -> None:
        self._target, self._draws = target, np.random.default_rng(seed)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.resets = 0.0
        self.sent = self.received = self.connections = self.broken = 0

    @property
    def port(self) -> int:
        """Where clients connect."""
        return int(self._listener.getsockname()[1])

    @property
    def counted(self) -> dict[str, int]:
        """Bytes to and from the target, connections, and those that were reset, so far."""
        with self._lock:
            return {
                "bytes_to_aggregator": self.sent,
                "bytes_from_aggregator": self.received,
                "connections": self.connections,
                "resets": self.broken,
            }

    def wait(self, sent: int) -> None:
        """Until so many bytes went to the target since the beginning."""
        while self.counted["bytes_to_aggregator"] < sent:
            time.sleep(0.01)

    def __enter__(self) -> "Relay":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # nobody serves there now: neither do we
                near.close()
                continue
            with self._lock:
                self.connections += 1
            _Connection(near, far, self._passed, self._over).start()

    def _passed(self, upwards: bool, count: int, pieces: int) -> bool:
        """Count bytes of which `pieces` were completed; whether the connection goes on."""
        with self._lock:
            if upwards:
                self.sent += count
            else:
                self.received += count
            breaks = bool(self.resets) and bool((self._draws.random(pieces) < self.resets).any())
            self.broken += breaks
            return not breaks


class _Connection:
    """Two sockets and a thread for each direction; the last one closes them."""

    def __init__(
        self,
        near: socket.socket,
        far: socket.socket,
        passed: Callable[[bool, int, int], bool],
        over: threading.Event,
    ) -> None:
        self._near, self._far, self._passed, self._over = near, far, passed, over
        self._lock = threading.Lock()
        self._running = 2
        self._broken = threading.Event()
        for end in (near, far):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self) -> None:
        """Begin to forward."""
        for source, sink in ((self._near, self._far), (self._far, self._near)):
            threading.Thread(target=self._run, args=(source, sink), daemon=True).start()

    def _run(self, source: socket.socket, sink: socket.socket) -> None:
        reader, writer = os.pipe()
        try:
            self._forward(source.fileno(), sink.fileno(), reader, writer, source is self._near)
            if not self._broken.is_set():
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._broken.set()
        finally:
            os.close(reader)
            os.close(writer)
            self._end()

    def _forward(self, source: int, sink: int, reader: int, writer: int, upwards: bool) -> None:
        total = 0
        while self._ready(source, select.POLLIN):
            try:
                count = left = os.splice(source, writer, PIECE_BYTES, flags=os.SPLICE_F_NONBLOCK)
            except BlockingIOError:
                continue
            if not count:
                return
            pieces = (total + count) // PIECE_BYTES - total // PIECE_BYTES
            total += count
            if not self._passed(upwards, count, pieces):
                self._broken.set()
            while left and self._ready(sink, select.POLLOUT):
                try:
                    left -= os.splice(reader, sink, left, flags=os.SPLICE_F_NONBLOCK)
                except BlockingIOError:
                    continue

    def _ready(self, descriptor: int, what: int) -> bool:
        """Wait until it is; False once the connection is to end."""
        poll = select.poll()
        poll.register(descriptor, what)
        while not (self._broken.is_set() or self._over.is_set()):
            if poll.poll(_LOOK_MILLISECONDS):
                return True
        return False

    def _end(self) -> None:
        with self._lock:
            self._running -= 1
            if self._running:
                return
        for end in (self._near, self._far):
            if self._broken.is_set() or self._over.is_set():
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            end.close()

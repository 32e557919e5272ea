"""A relay on loopback that keeps every byte that passes, as somebody on the line would, and may cut it."""

import math
import socket
import threading
from collections.abc import Sequence
from types import TracebackType


class Relay:
    """Forwards connections to `port` of this machine while the context is open.

    The n-th connection is cut when `cuts[n]` bytes went to `port`; connections beyond the list are left whole.
    """

    def __init__(self, port: int, cuts: Sequence[int] = ()) -> None:
        self._cuts = iter(cuts)
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._seen = bytearray()
        self._sockets: list[socket.socket] = [self._listener]
        self.connections = 0

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def seen(self) -> bytes:
        """All bytes of both directions."""
        with self._lock:
            return bytes(self._seen)

    def __enter__(self) -> "Relay":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            sockets = tuple(self._sockets)
        for each in sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._sockets += [near, far]
            for source, sink, left in ((near, far, next(self._cuts, math.inf)), (far, near, math.inf)):
                threading.Thread(target=self._pump, args=(source, sink, left), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, left: float) -> None:
        try:
            while left > 0 and (data := source.recv(65536)):
                with self._lock:
                    self._seen += data
                sink.sendall(data)
                left -= len(data)
            if left > 0:
                sink.shutdown(socket.SHUT_WR)
                return
            for end in (source, sink):
                end.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

"""What one peer may use of a server: calls at a time, calls a second, bytes on their way, and time without progress.

Each peer has a share of its own, and the server has threads for all shares together (`threads_for`), so nothing that a
peer does takes from another's. Every handler becomes one of streams, which looks the same on the line: grpcio reads the
message of a plain call before any code of ours runs and waits for it for ever, while here the caller is authorised, its
share is charged and a clock runs before anything is read. A message of more than `tls.MAX_MESSAGE_BYTES` is refused by
the C core from its length prefix; how many calls a connection may open, and how many connections there are, `tls` says.
What a message may hold is for `privacy.wire`.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from privacy.channel.authorisation import caller
from privacy.channel.interception import Continuation, Handler
from privacy.channel.tls import MAX_MESSAGE_BYTES
from privacy.errors import ProtocolError, Unreachable

BUSY = "peer.busy"
"""The code with which a call beyond its peer's share is refused; it may be tried again."""
SPARE_THREADS = 16
"""For calls that are being refused."""


@dataclass(frozen=True)
class Allowance:
    """The share of one peer.

    `calls` at a time; `calls_per_second` on average, with `burst` at once, later ones wait for their turn;
    `message_bytes` of messages that were sent and not dealt with yet; `stall_seconds` within which a whole message must
    come, or be taken.
    """

    calls: int = 8
    calls_per_second: float = 100.0
    burst: int = 400
    message_bytes: int = 4 * MAX_MESSAGE_BYTES
    stall_seconds: float = 60.0


def threads_for(peers: int, allowance: Allowance) -> int:
    """Threads with which no number of peers that use all of their shares keeps another out of its own."""
    return peers * allowance.calls + SPARE_THREADS


class Limits(grpc.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs alone
    """Holds each peer to its share; the innermost interceptor, after `Authorisation`.

    Args:
        allowance: the share of each peer.
        clock: seconds that never go back.
    """

    def __init__(self, allowance: Allowance, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowance, self._clock = allowance, clock
        self._lock = threading.Lock()
        self._shares: dict[str, Share] = {}
        self._watch = Watch(allowance.stall_seconds, clock)

    def intercept_service(
        self,
        continuation: Continuation,
        details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """The handler of a method of raw bytes, if there is one, as one of streams within its caller's share."""
        handler = continuation(details)
        return None if handler is None else grpc.stream_stream_rpc_method_handler(self._within_share(handler))

    def _within_share(self, handler: Handler) -> Callable[[Iterator[bytes], grpc.ServicerContext], Iterator[bytes]]:
        behaviour: Any = (
            (handler.stream_stream if handler.response_streaming else handler.stream_unary)
            if handler.request_streaming
            else (handler.unary_stream if handler.response_streaming else handler.unary_unary)
        )

        def run(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            share = self._share(caller(context).uri)
            with share.call():
                incoming = self._incoming(messages, context, share)
                try:
                    request = incoming if handler.request_streaming else _only(incoming)
                    answer = behaviour(request, context)
                    for response in answer if handler.response_streaming else (answer,):
                        with self._watch.over(context):
                            yield response
                finally:
                    incoming.close()

        return run

    def _share(self, peer: str) -> "Share":
        with self._lock:
            return self._shares.setdefault(peer, Share(self._allowance, self._clock))

    def _incoming(
        self, messages: Iterator[bytes], context: grpc.ServicerContext, share: "Share"
    ) -> Generator[bytes, None, None]:
        """The messages of a call while they come; each is charged to the share until the next is asked for."""
        while True:
            with share.message(context.is_active) as keep:
                try:
                    with self._watch.over(context):
                        message = next(messages, None)
                except grpc.RpcError as error:
                    raise _broken() from error
                if message is None and not context.is_active():
                    raise _broken()  # grpcio may show a call that broke as a stream that ended
                if message is None:
                    return
                keep(len(message))
                yield message
                del message  # not held while the next is awaited


@dataclass
class Share:
    """What one peer has in use. Thread-safe."""

    allowance: Allowance
    clock: Callable[[], float]
    _calls: int = 0
    _held: int = 0
    _turn: float = float("-inf")
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def call(self) -> Iterator[None]:
        """One call of this peer, which begins when its turn has come: at the rate allowed, after a burst.

        Raises:
            Unreachable: the peer has too many already.
        """
        with self._changed:
            if self._calls >= self.allowance.calls:
                raise Unreachable("too many calls of this silo at a time; it waits and tries again", code=BUSY)
            self._calls += 1
            now, each = self.clock(), 1 / self.allowance.calls_per_second
            self._turn = max(self._turn, now - self.allowance.burst * each) + each
            wait = self._turn - now
        try:
            if wait > 0:
                time.sleep(wait)
            yield
        finally:
            with self._changed:
                self._calls -= 1

    @contextmanager
    def message(self, wanted: Callable[[], bool]) -> Iterator[Callable[[int], None]]:
        """Room for a message of any size, waited for while it is `wanted`; what is yielded keeps only what it takes."""
        held = MAX_MESSAGE_BYTES
        with self._changed:
            while self._held + held > self.allowance.message_bytes and wanted():
                self._changed.wait(0.5)
            self._held += held

        def keep(size: int) -> None:
            nonlocal held
            with self._changed:
                self._held -= held - size
                held = size
                self._changed.notify_all()

        try:
            yield keep
        finally:
            keep(0)


class Watch:
    """Ends calls in which something takes too long; its thread lives only while there is something to watch."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds, self._clock = seconds, clock
        self._lock = threading.Lock()
        self._until: dict[object, tuple[float, grpc.ServicerContext]] = {}
        self._watching = False

    @contextmanager
    def over(self, context: grpc.ServicerContext) -> Iterator[None]:
        """End the call if what is within takes too long.

        Raises:
            Unreachable: it did.
        """
        key = object()
        with self._lock:
            self._until[key] = (self._clock() + self._seconds, context)
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._look, daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                late = self._until.pop(key, None) is None
        if late:
            raise _broken()

    def _look(self) -> None:
        while True:
            time.sleep(min(1.0, self._seconds / 4))
            with self._lock:
                now = self._clock()
                late = [(key, context) for key, (until, context) in self._until.items() if until < now]
                for key, _ in late:
                    del self._until[key]
                if not self._until and not late:
                    self._watching = False
                    return
            for _, context in late:
                context.cancel()  # type: ignore[no-untyped-call]  # the stubs leave it out


def _broken() -> Unreachable:
    return Unreachable("a call broke off, or stood still for too long", code="call.broken")


def _only(messages: Iterator[bytes]) -> bytes:
    message = next(messages, None)
    if message is None:
        raise ProtocolError("a call came without its message; upgrade the caller", code="protocol.malformed")
    return message

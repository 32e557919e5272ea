"""A virtual network: what a silo's client has instead of a gRPC channel, down to the real service of the aggregator.

The real client, with its patience and its resuming, calls a `Channel`; the real interceptors, service and coordinator
answer, in the caller's own thread. Every call counts, and a history says which of them meets a fault. What it does not
have: TLS, flow control, and limits of message sizes.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import grpc

from privacy.channel.limits import Limits
from privacy.errors import IdentityError, Unreachable
from tests.simulation.certificates import OLDEST_LINE
from tests.simulation.operations import Fault, Way
from tests.simulation.party import Party
from tests.simulation.scheduler import Killed, Scheduler

LATENCY = 0.005
"""Seconds one way."""


class Broken(grpc.RpcError):
    """What a call ended with, as grpc tells a client."""

    def __init__(self, status: grpc.StatusCode, text: str = "", metadata: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(status.name)
        self._status, self._text, self._metadata = status, text, metadata

    def code(self) -> grpc.StatusCode:
        return self._status

    def details(self) -> str:
        return self._text

    def trailing_metadata(self) -> list["Metadatum"]:
        return [Metadatum(key, value) for key, value in self._metadata]


@dataclass(frozen=True)
class Metadatum:
    key: str
    value: str


class Aborted(Exception):
    """The servicer ended its call."""


@dataclass
class Context:
    """A call as the aggregator sees it."""

    properties: dict[str, list[bytes]]
    metadata: tuple[tuple[str, str], ...] = ()
    status: grpc.StatusCode = grpc.StatusCode.OK
    text: str = ""
    cancelled: bool = False

    def is_active(self) -> bool:
        return True

    def auth_context(self) -> dict[str, list[bytes]]:
        return self.properties

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self.metadata = metadata

    def abort(self, status: grpc.StatusCode, text: str) -> None:
        self.status, self.text = status, text
        raise Aborted

    def cancel(self) -> None:
        self.cancelled = True


@dataclass(frozen=True)
class Details:
    method: str
    invocation_metadata: tuple[()] = ()


class Server:
    """What `aggregator.app.build` has instead of a `grpc.Server`: it keeps what is to be called."""

    def __init__(self, pool: object, interceptors: list[Any], options: object) -> None:
        # What a peer may use in real time and threads is tested over real lines.
        self._interceptors = [each for each in interceptors if not isinstance(each, Limits)]
        self._handlers: tuple[Any, ...] = ()
        self._found: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: tuple[Any, ...]) -> None:
        self._handlers += handlers

    def handler(self, method: str) -> Any:
        """The behaviour of a method behind all interceptors; a method that nobody serves is an error of the test."""
        if method not in self._found:
            details = cast(grpc.HandlerCallDetails, Details(method))

            def served(called: grpc.HandlerCallDetails) -> Any:
                return next((found for one in self._handlers if (found := one.service(called))), None)

            continuation: Callable[[Any], Any] = served
            for interceptor in reversed(self._interceptors):
                continuation = _intercepted(interceptor, continuation)
            handler = continuation(details)
            if handler is None:
                raise NotImplementedError(f"the aggregator serves no {method}")
            self._found[method] = handler
        return self._found[method]


def _intercepted(interceptor: Any, continuation: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda details: interceptor.intercept_service(continuation, details)


@dataclass
class Aggregator:
    """The other end: the process that serves now, if one does."""

    process: object = None
    server: Server | None = None


@dataclass
class Line:
    """One silo's line: its faults by the number of the call, over all of its processes."""

    scheduler: Scheduler
    aggregator: Aggregator
    party: Party
    properties: Callable[[], dict[str, list[bytes]]]
    leaves: Callable[[str, bytes], None]
    shake_hands: Callable[[], None]
    defects: list[str]
    faults: dict[int, Fault]
    latency: float = LATENCY
    calls: int = 0
    cut_until: float = 0.0
    opened: tuple[Server, float] | None = None
    """The server that the line is open to, and when it is opened anew at the latest."""
    refused: bool = False

    def begin(self, method: str) -> Fault | None:
        """One more call; the fault that it meets."""
        self.calls += 1
        self.party.burn(f"sends {method}")
        fault = self.faults.get(self.calls)
        if fault is not None:
            self.party.say(f"call {self.calls}, {method}: {fault.way}")
        return fault

    def done(self, method: str) -> None:
        self.party.burn(f"has the answer to {method}")

    def reach(self) -> None:
        """The way there, or back."""
        self.scheduler.sleep(self.latency)
        if self.scheduler.now < self.cut_until or self.aggregator.server is None:
            raise self.breaks()

    def dial(self) -> None:
        """The way there, over the line that is open or a new one."""
        self.reach()
        server = cast(Server, self.aggregator.server)
        if self.opened is not None and self.opened[0] is server and self.scheduler.now < self.opened[1]:
            return
        try:
            self.shake_hands()
        except IdentityError as error:
            if not self.refused:
                self.party.say(f"opens no line: {error} [{error.code}]")
            self.refused = True
            raise self.breaks() from error
        self.opened, self.refused = (server, self.scheduler.now + OLDEST_LINE), False

    def breaks(self) -> Broken:
        """The line is open no more."""
        self.opened = None
        return Broken(grpc.StatusCode.UNAVAILABLE)


@dataclass
class Channel:
    """What `AggregatorClient` has instead of a `grpc.Channel`."""

    line: Line

    def unary_unary(self, method: str, *_: object) -> Callable[..., bytes]:
        return lambda data, timeout: self._unary(method, data)

    def stream_unary(self, method: str, *_: object) -> Callable[..., bytes]:
        return lambda parts, timeout: self._upload(method, parts)

    def unary_stream(self, method: str, *_: object) -> "Callable[..., Stream]":
        return lambda data, timeout: Stream(self, method, data)

    def close(self) -> None:
        """Nothing is open."""

    def _unary(self, method: str, data: bytes) -> bytes:
        fault, line = self.line.begin(method), self.line
        way = fault.way if fault else None
        if fault is not None and way in (Way.LATE, Way.TWICE):
            line.scheduler.spawn("a late copy", lambda: self._copied(method, data), line.scheduler.now + fault.seconds)
        if way in (Way.REQUEST, Way.LATE):
            line.scheduler.sleep(line.latency)
            raise line.breaks()
        line.dial()
        line.leaves(method, data)
        answer = self.served(method, lambda behaviour, context: cast(bytes, behaviour.unary_unary(data, context)))
        line.reach()
        if way == Way.RESPONSE:
            raise line.breaks()
        line.done(method)
        return answer

    def _copied(self, method: str, data: bytes) -> None:
        """A message that the network kept for a while reaches the aggregator; nobody hears its answer."""
        with suppress(Broken):
            self.served(method, lambda behaviour, context: behaviour.unary_unary(data, context))

    def _upload(self, method: str, parts: Iterable[bytes]) -> bytes:
        fault, line = self.line.begin(method), self.line
        if fault is not None and fault.way in (Way.REQUEST, Way.LATE):
            line.scheduler.sleep(line.latency)
            raise line.breaks()
        most = fault.parts if fault is not None and fault.way is Way.BROKEN else 10**9
        line.dial()
        flowing = self._flowing(parts, most)
        answer = self.served(method, lambda behaviour, context: cast(bytes, behaviour.stream_unary(flowing, context)))
        line.reach()
        if fault is not None and fault.way is not Way.TWICE:
            raise line.breaks()
        line.done(method)
        return answer

    def _flowing(self, parts: Iterable[bytes], most: int) -> Iterator[bytes]:
        """The parts as the aggregator gets them; they are read from the silo's disk."""
        for number, part in enumerate(parts):
            try:
                if number == most:
                    self.line.opened = None
                    raise Broken(grpc.StatusCode.CANCELLED)
                self.line.leaves("Upload", part)
                self.line.reach()
            except Broken as error:  # as `privacy.channel.limits`, which is left out here, tells a servicer
                raise Unreachable("a call broke off", code="call.broken") from error
            yield part

    def served(self, method: str, call: Callable[[Any, Any], Any]) -> Any:
        """Let the aggregator that serves now answer, as itself."""
        line = self.line
        server, process = line.aggregator.server, line.aggregator.process
        if server is None:
            raise Broken(grpc.StatusCode.UNAVAILABLE)
        context = Context(line.properties())
        try:
            with line.scheduler.inside(process):
                return call(server.handler(method), context)
        except Aborted as error:
            self._note(method, context, error)
            raise Broken(context.status, context.text, context.metadata) from None
        except Killed as killed:
            if killed.process is not process:
                raise
            line.aggregator.server = None
            raise Broken(grpc.StatusCode.UNAVAILABLE) from None

    def _note(self, method: str, context: Context, error: BaseException) -> None:
        """A defect of the aggregator is told to nobody but the test."""
        if context.status is grpc.StatusCode.INTERNAL:
            cause = error.__context__
            while cause is not None and isinstance(cause, Aborted):
                cause = cause.__context__
            self.line.defects.append(f"{method}: {cause!r}")


class Stream:
    """A stream of answers, read by the client as they come."""

    def __init__(self, channel: Channel, method: str, data: bytes) -> None:
        self._channel, self._method, self._data = channel, method, data
        self._answers = self._run()

    def __iter__(self) -> Iterator[bytes]:
        return self._answers

    def cancel(self) -> None:
        self._answers.close()

    def _run(self) -> Iterator[bytes]:
        channel, line = self._channel, self._channel.line
        fault = line.begin(self._method)
        if fault is not None and fault.way in (Way.REQUEST, Way.LATE):
            line.scheduler.sleep(line.latency)
            raise line.breaks()
        line.dial()
        most = 10**9 if fault is None or fault.way is Way.TWICE else fault.parts if fault.way is Way.BROKEN else 0
        begun: list[tuple[object, Iterator[bytes]]] = []

        def following(behaviour: Any, context: Any) -> bytes | None:
            if not begun:
                begun.append((line.aggregator.server, iter(behaviour.unary_stream(self._data, context))))
            server, answers = begun[0]
            if server is not line.aggregator.server:
                raise line.breaks()
            return next(answers, None)

        count = 0
        while (answer := channel.served(self._method, following)) is not None:
            line.reach()
            if count == most:
                raise line.breaks()
            count += 1
            yield answer
        line.reach()
        line.done(self._method)

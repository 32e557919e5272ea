"""The only door to the aggregator: nothing is sent, and our certificate not shown, that was not counted before.

`open_channel` is the one place in `silo_node` that makes a gRPC channel (tests/architecture/test_egress.py); the
count is an interceptor of the channel itself, so no caller can leave it out. Handshakes that show our certificate, to
find out why a call ended, are made by `diagnosed` and `why_closed` alone. What cannot be entered in the log is not
sent.
"""

from collections.abc import Callable, Iterator
from typing import Any

import grpc

from privacy.channel import tls
from privacy.channel.diagnosis import diagnose
from privacy.channel.identity import Identity
from privacy.channel.one_way.line import Line, Way
from privacy.errors import CollegiumError, StorageError, Unreachable
from privacy.operations import handshake
from silo_node.egress.classes import CONNECTION_CHECK, class_of
from silo_node.egress.log import EgressLog


def open_channel(
    identity: Identity, target: str, egress: EgressLog, proxy: str | None = None, way: Way | None = None
) -> grpc.Channel | Line:
    """A channel of this silo to `HOST:PORT` that counts; a one-way line where a `way` is given. The caller closes it.

    Raises as `tls.channel`.
    """
    if way is not None:
        return Line(identity, target, way, lambda method, message: _count(egress, method, message), proxy)
    return grpc.intercept_channel(tls.channel(identity, target, proxy=proxy), _Counter(egress))


def diagnosed(
    identity: Identity, target: str, egress: EgressLog, proxy: str | None = None, trusted: bytes | None = None
) -> CollegiumError:
    """As `privacy.channel.diagnosis.diagnose`, and counted. Raises StorageError: it cannot be."""
    egress.count(CONNECTION_CHECK, 0)
    return diagnose(identity, target, proxy=proxy, trusted=trusted)


def why_closed(
    identity: Identity, target: str, egress: EgressLog, proxy: str | None = None, trusted: bytes | None = None
) -> Unreachable:
    """As `privacy.operations.handshake.why_closed`, and counted. Raises StorageError: it cannot be."""
    egress.count(CONNECTION_CHECK, 0)
    return handshake.why_closed(identity, target, proxy, trusted)


def _count(egress: EgressLog, method: str, message: Any) -> None:
    if not isinstance(message, bytes):
        raise RuntimeError("only bytes are sent on this channel")
    egress.count(class_of(method, message), len(message))


class _Counter(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[type-arg]  # generic in the stubs alone
    grpc.UnaryStreamClientInterceptor,  # type: ignore[type-arg]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[type-arg]
    grpc.StreamStreamClientInterceptor,  # type: ignore[type-arg]
):
    """Enters each message of each call in the log before it goes on."""

    def __init__(self, egress: EgressLog) -> None:
        self._egress = egress

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """Count one message."""
        self._count(details, request)
        return continuation(details, request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """Count one message."""
        self._count(details, request)
        return continuation(details, request)

    def intercept_stream_unary(self, continuation: Callable[..., Any], details: Any, request_iterator: Any) -> Any:
        """Count each message of a stream as it goes; gRPC hides what stopped it, so that is raised afterwards."""
        counted = _Counted(self, details, request_iterator)
        outcome = continuation(details, counted)
        if counted.refused is not None:
            raise counted.refused
        return outcome

    def intercept_stream_stream(self, continuation: Callable[..., Any], details: Any, request_iterator: Any) -> Any:
        """Count each message of a stream as it goes."""
        return continuation(details, _Counted(self, details, request_iterator))

    def _count(self, details: Any, request: Any) -> None:
        method = details.method.decode() if isinstance(details.method, bytes) else details.method
        _count(self._egress, method, request)


class _Counted(Iterator[bytes]):
    """The messages of a stream, each counted before it is handed on; remembers a disk that refused."""

    def __init__(self, counter: _Counter, details: Any, messages: Iterator[Any]) -> None:
        self._counter, self._details, self._messages = counter, details, messages
        self.refused: StorageError | None = None

    def __next__(self) -> bytes:
        message = next(self._messages)
        try:
            self._counter._count(self._details, message)
        except StorageError as error:
            self.refused = error
            raise
        if not isinstance(message, bytes):
            raise RuntimeError("only bytes are sent on this channel")
        return message

"""The silo's end of a one-way line: calls with the same faces as a gRPC channel's, whose messages are signed records.

TLS is checked against the certificates that the hospital names, for it is its proxy that answers; what the aggregator
says counts only with the aggregator's signature, errors included. Anything else on the line is taken for a line that
broke: the caller tries again.
"""

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from privacy.channel import tls
from privacy.channel.identity import Identity
from privacy.channel.one_way import records
from privacy.channel.one_way.records import BEGIN, CODE_STALE, FRESH_BYTES, HEAD_KEY, STATUS_KEY, Call, Kind
from privacy.channel.status import CODE_KEY, KIND_KEY, Told
from privacy.errors import ProtocolError
from privacy.signer import Signer
from privacy.study import Study

BEGIN_SECONDS = 60

Count = Callable[[str, bytes], None]
"""Told the method and each message before it is sent; what it raises keeps the message from leaving."""


@dataclass(frozen=True)
class Way:
    """What a silo needs to know for one-way lines of a study.

    Attributes:
        study: digest of the study.
        aggregator: its identity key (32 bytes), from the study's roster.
        trusted: PEM of the certificates that may vouch for the server of the TLS line: the proxy's CA.
    """

    study: bytes
    aggregator: bytes
    trusted: bytes

    @classmethod
    def of(cls, study: Study, trusted: bytes) -> "Way":
        """That of a verified study."""
        return cls(study.digest(), bytes.fromhex(study.roster.aggregator.identity), trusted)


class Line:
    """A one-way line to `HOST:PORT`; nothing is dialled yet. Thread-safe.

    Raises:
        IdentityError: our own certificate is not valid now.
        ConfigError: the target is not HOST:PORT, or the identity is not a silo's.
    """

    def __init__(self, identity: Identity, target: str, way: Way, count: Count, proxy: str | None = None) -> None:
        self._channel = tls.one_way_channel(identity, target, way.trusted, proxy)
        self._identity, self._way, self._count = identity, way, count
        self._lock = threading.RLock()
        self._fresh: bytes | None = None
        self._number = 0

    def unary_unary(self, method: str, *coders: object) -> "Unary":
        """A call with one message in and one out. Raw bytes alone are sent, whatever the coders."""
        return Unary(lambda message, timeout: self._call(method, [(Kind.LAST, message)], timeout))

    def unary_stream(self, method: str, *coders: object) -> "Callable[..., Answers]":
        """A call with one message in and many out."""

        def run(message: bytes, timeout: float) -> Answers:
            return self._call(method, [(Kind.LAST, message)], timeout)

        return run

    def stream_unary(self, method: str, *coders: object) -> Callable[..., bytes]:
        """A call with many messages in and one out."""

        def run(messages: Iterable[bytes], timeout: float) -> bytes:
            return _only(self._call(method, ((Kind.MESSAGE, message) for message in messages), timeout))

        return run

    def close(self) -> None:
        """End all calls and the connection."""
        self._channel.close()

    def _call(self, method: str, messages: Iterable[tuple[Kind, bytes]], timeout: float) -> "Answers":
        with self._lock:
            if self._fresh is None:
                self._fresh, self._number = self._begin()
            self._number += 1
            fresh, number = self._fresh, self._number
        return self._made(method, fresh, number, messages, timeout)

    def _begin(self) -> tuple[bytes, int]:
        answers = self._made(BEGIN, secrets.token_bytes(FRESH_BYTES), 0, (), BEGIN_SECONDS)
        if list(answers):
            raise ProtocolError("a line began with messages; upgrade the aggregator", code="protocol.malformed")
        return records.read_fresh(answers.text)

    def _made(
        self, method: str, fresh: bytes, number: int, messages: Iterable[tuple[Kind, bytes]], timeout: float
    ) -> "Answers":
        keys = self._identity.keys
        head = records.make_head(self._way.study, method, fresh, number, self._identity.certificate, keys.tls)
        if method == BEGIN:
            self._count(method, head)
        call = Call.of(self._way.study, method, head)
        sealed = _Sealed(call, messages, keys.identity, lambda message: self._count(method, message))
        stub: Any = self._channel.stream_stream(method, bytes, bytes)
        running = stub(sealed, timeout=timeout, metadata=((HEAD_KEY, head),))
        return Answers(call, running, sealed, self._way.aggregator, lambda: self._forget(fresh))

    def _forget(self, fresh: bytes) -> None:
        """What was fresh is not: begin anew at the next call."""
        with self._lock:
            if self._fresh == fresh:
                self._fresh = None


class Unary:
    """Makes calls with one message in and one out."""

    def __init__(self, call: "Callable[[bytes, float], Answers]") -> None:
        self._call = call

    def __call__(self, message: bytes, timeout: float) -> bytes:
        """The answer."""
        return self.with_call(message, timeout)[0]

    def with_call(self, message: bytes, timeout: float) -> "tuple[bytes, Answers]":
        """The answer, and with it how the call ended, which is verified."""
        answers = self._call(message, timeout)
        return _only(answers), answers


class _Sealed(Iterator[bytes]):
    """The records of a request; remembers what kept them from being made, which gRPC hides."""

    def __init__(
        self, call: Call, messages: Iterable[tuple[Kind, bytes]], key: Signer, count: Callable[[bytes], None]
    ) -> None:
        self._call, self._messages, self._key, self._count = call, iter(messages), key, count
        self._place, self._ended = 0, False
        self.failed: BaseException | None = None

    def __next__(self) -> bytes:
        if self._ended:
            raise StopIteration
        try:
            kind, message = next(self._messages, (Kind.END, b""))
            if kind is not Kind.END:
                self._count(message)
            record = self._call.seal_request(self._place, kind, message, self._key)
        except BaseException as error:
            self.failed, self._ended = error, True
            raise
        self._place, self._ended = self._place + 1, kind is not Kind.MESSAGE
        return record


class Answers(Iterator[bytes]):
    """The messages that the aggregator answers a call with, each verified before it is handed on.

    Attributes:
        text: once they ended, what the aggregator signed beside that they did: its time (ISO 8601, UTC); empty from
            earlier versions.

    Raises:
        grpc.RpcError: the call ended with an error that the aggregator signed, or the line broke.
        Unreachable: what came is not what the aggregator sent.
    """

    def __init__(
        self, call: Call, running: Any, sealed: _Sealed, aggregator: bytes, forget: Callable[[], None]
    ) -> None:
        self._call, self._running, self._sealed = call, running, sealed
        self._aggregator, self._forget = aggregator, forget
        self._place, self.text = 0, ""

    def __next__(self) -> bytes:
        try:
            record = next(self._running, None)
        except grpc.RpcError as error:
            if self._sealed.failed is not None:
                raise self._sealed.failed from error
            raise self._refusal(error) from error
        if record is None:
            outcome = self._status(self._running)
            if outcome is None or outcome.status is not grpc.StatusCode.OK:
                raise records.altered()
            self.text = outcome.text
            raise StopIteration
        kind, message = self._open(record)
        if kind is not Kind.MESSAGE:
            raise records.altered()
        self._place += 1
        return message

    def cancel(self) -> None:
        """Nothing more of the answer is wanted."""
        self._running.cancel()

    def _open(self, record: bytes) -> tuple[Kind, bytes]:
        try:
            return self._call.open_answer(self._place, record, self._aggregator)
        except BaseException:
            self.cancel()
            raise

    def _status(self, ended: Any) -> Told | None:
        """The signed status of a call, if it has one."""
        sealed = [entry.value for entry in ended.trailing_metadata() or () if entry.key == STATUS_KEY]
        if len(sealed) != 1 or not isinstance(sealed[0], bytes):
            return None
        kind, message = self._open(sealed[0])
        return records.read_status(message) if kind is Kind.STATUS else None

    def _refusal(self, error: Any) -> "Ended":
        outcome = self._status(error)
        if outcome is None or outcome.status is grpc.StatusCode.OK:
            late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            return Ended(Told(error.code() if late else grpc.StatusCode.UNAVAILABLE, "", "", ""))
        if outcome.code == CODE_STALE:
            self._forget()
        return Ended(outcome)


class Ended(grpc.RpcError):
    """How a call ended, in the form of gRPC's own errors, out of what the aggregator signed."""

    def __init__(self, outcome: Told) -> None:
        super().__init__(outcome.text)
        self._outcome = outcome

    def code(self) -> grpc.StatusCode:
        """The status."""
        return self._outcome.status

    def details(self) -> str:
        """The aggregator's sentence."""
        return self._outcome.text

    def trailing_metadata(self) -> "tuple[Entry, ...]":  # type: ignore[override]  # the stubs' type is private
        """Class and code of the error, where there are any."""
        known = ((KIND_KEY, self._outcome.kind), (CODE_KEY, self._outcome.code))
        return tuple(Entry(key, value) for key, value in known if value)


@dataclass(frozen=True)
class Entry:
    """An entry of metadata, as gRPC has them."""

    key: str
    value: str


def _only(answers: Answers) -> bytes:
    found = list(answers)
    if len(found) != 1:
        raise ProtocolError("an answer is not one message; upgrade the aggregator", code="protocol.malformed")
    return found[0]

"""The aggregator's end of one-way lines: an interceptor that lets in the calls of the silos that may use them.

It takes the place of `Translation` and `Authorisation` on a port of its own, where TLS asks for no certificate. Whoever
calls is proven from the head of the call before anything else of it is read, and gets a share of the server afterwards
(`limits`); a stranger is told so in the trailing metadata and holds no thread. The same checks as on the mutual port
hold for every call, and for each message of it: certificate, expiry, roster, revocation, method by role. What is kept
is one window a silo, in memory: after a restart the heads of before are stale. The status that ends a call well has our
time, for who compares it with its own.
"""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NoReturn, cast

import grpc
from cryptography import x509

from privacy.channel import certificate as profile
from privacy.channel import status
from privacy.channel.authorisation import Authorisation, Proven, check_version
from privacy.channel.identity import Identity
from privacy.channel.interception import Continuation, Handler
from privacy.channel.member import Member, Role
from privacy.channel.one_way import records
from privacy.channel.one_way.records import BEGIN, FRESH_BYTES, HEAD_KEY, STATUS_KEY, Call, Head, Kind
from privacy.channel.one_way.window import Window, stale
from privacy.channel.status import Told
from privacy.errors import IdentityError, ProtocolError

CODE_NOT_ALLOWED = "one_way.not_allowed"


@dataclass(frozen=True)
class Allowed:
    """Who may use one-way lines.

    Attributes:
        study: digest of the study that is served.
        silos: identity key (32 bytes) of each silo that may, by name.
    """

    study: bytes
    silos: dict[str, bytes]


class OneWay(grpc.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs alone
    """Opens the records of each call and seals the answers; the outermost interceptor of the one-way port.

    Args:
        identity: the aggregator's; its identity key signs the answers.
        allowed: who may call.
        authorisation: the checks of the mutual port, and who may call what.
        used: told the name of each silo at each call that is let in, before the call is served.
        count: is given the code of each error that ends a call, and the silo that proved to have called, or "".
    """

    def __init__(
        self,
        identity: Identity,
        allowed: Allowed,
        authorisation: Authorisation,
        used: Callable[[str], None],
        count: Callable[[str, str], None] = lambda code, silo: None,
    ) -> None:
        self._identity, self._allowed, self._authorisation = identity, allowed, authorisation
        self._used, self._count = used, count
        self._fresh = secrets.token_bytes(FRESH_BYTES)
        self._windows = {name: Window() for name in allowed.silos}
        self._lock = threading.Lock()

    def intercept_service(self, continuation: Continuation, details: grpc.HandlerCallDetails) -> "Handler | None":
        """The handler of a method behind `Limits`, which makes it one of streams, with records around its messages."""
        if details.method == BEGIN:
            return grpc.stream_stream_rpc_method_handler(self._begin)
        handler = continuation(details)
        return None if handler is None else grpc.stream_stream_rpc_method_handler(self._sealed(details.method, handler))

    def _begin(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Tell what is fresh. All of it is in the metadata, so that nobody can make this wait."""
        data = _head_of(context)
        call, name = Call.of(self._allowed.study, BEGIN, data), ""
        try:
            head = records.read_head(data)
            name = (member := self._prove(head, BEGIN, context)).name
            self._check(member, head.certificate, BEGIN)
        except Exception as error:  # noqa: BLE001  # every kind of error ends the call, and `told` tells them apart
            self._refuse(context, call, 0, error, name)
        with self._lock:
            highest = self._windows[member.name].highest
        self._finish(context, call, 0, records.fresh_text(self._fresh, highest))
        yield from ()

    def _sealed(self, method: str, handler: Handler) -> Callable[..., Iterator[bytes]]:
        behaviour = cast(Any, handler.stream_stream)
        key = self._identity.keys.identity

        def run(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            data = _head_of(context)
            call = Call.of(self._allowed.study, method, data)
            place, name = 0, ""
            try:
                head = records.read_head(data)
                name = (member := self._prove(head, method, context)).name
                self._check(member, head.certificate, method)
                self._take(member.name, head)
                self._used(member.name)

                def passed(message: bytes) -> bytes:
                    self._check(member, head.certificate, method)
                    return message

                opened = map(passed, _opened(call, messages, self._allowed.silos[member.name], context))
                with closing(behaviour(opened, Proven(context, member))) as answers:
                    for answer in map(passed, answers):
                        yield call.seal_answer(place, Kind.MESSAGE, answer, key)
                        place += 1
            except Exception as error:  # noqa: BLE001  # as above
                self._refuse(context, call, place, error, name)
            self._finish(context, call, place, datetime.now(UTC).isoformat())

        return run

    def _prove(self, head: Head, method: str, context: grpc.ServicerContext) -> Member:
        """Who calls, as mutual TLS would have it; not yet whether it may. Raises what refuses it."""
        check_version(context)
        member = _issued(head.certificate, self._identity.authority)
        records.check_proof(head, self._allowed.study, method)
        return member

    def _check(self, member: Member, certificate: x509.Certificate, method: str) -> None:
        """Whether a caller that was proven may call now; asked again at each message of a call."""
        allowed = frozenset({Role.SILO}) if method == BEGIN else self._authorisation.roles(method)
        self._authorisation.check(member, certificate, allowed)
        if member.name not in self._allowed.silos:
            raise IdentityError(
                f"silo '{member.name}' may not call without mutual TLS; exempt the aggregator from TLS inspection, or"
                " ask the consortium to name this silo under one_way_tls at the aggregator",
                code=CODE_NOT_ALLOWED,
            )

    def _take(self, name: str, head: Head) -> None:
        with self._lock:
            if head.fresh != self._fresh:
                raise stale()
            self._windows[name].take(head.number)

    def _finish(self, context: grpc.ServicerContext, call: Call, place: int, text: str) -> None:
        context.set_trailing_metadata((self._status(call, place, Told(grpc.StatusCode.OK, text, "", "")),))

    def _refuse(self, context: grpc.ServicerContext, call: Call, place: int, error: Exception, name: str) -> NoReturn:
        outcome = status.told(error)
        self._count(status.counted(outcome), name)
        status.end(context, outcome, self._status(call, place, outcome))

    def _status(self, call: Call, place: int, outcome: Told) -> tuple[str, bytes]:
        plain = records.status_bytes(outcome)
        return STATUS_KEY, call.seal_answer(place, Kind.STATUS, plain, self._identity.keys.identity)


def _head_of(context: grpc.ServicerContext) -> bytes:
    """The one head in the metadata; empty, which is no head, where there is none or more than one."""
    found = [value for key, value in context.invocation_metadata() or () if key == HEAD_KEY]
    return found[0] if len(found) == 1 and isinstance(found[0], bytes) else b""


def _opened(call: Call, messages: Iterator[bytes], key: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    """The messages of a call, each verified before it is handed on.

    Raises:
        Unreachable: altered, out of order, or not as many as were sent.
        ProtocolError: records of a kind that no request has.
    """
    for place, record in enumerate(messages):
        kind, message = call.open_request(place, record, key)
        if kind is Kind.END:
            return
        if kind is Kind.STATUS:
            raise ProtocolError("a request has records of another kind", code="protocol.malformed")
        yield message
        if kind is Kind.LAST:
            return
    if context.is_active():  # one that broke is told so by `limits`
        raise records.altered()


@lru_cache(maxsize=256)
def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> Member:
    profile.check_issued(certificate, authority)
    return profile.member_of(certificate)

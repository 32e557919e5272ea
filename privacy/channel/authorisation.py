"""Who may call what, decided on every call, and message of it, from the peer's verified certificate. It fails closed.

A method that is not in the table is refused to all. The caller is the SPIFFE id in the certificate
that TLS verified, never a field of a message and never a DNS name that looks like one. All is checked
on each call because a connection outlives its certificate, and again at each message because a stream
outlives a revocation. grpcio decodes a unary request before these checks run, so message size limits
(`tls`) and a strict decoder must hold by themselves.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast

import grpc
from cryptography import x509
from google.protobuf.descriptor import ServiceDescriptor

from privacy.channel import certificate as profile
from privacy.channel.interception import Continuation, Handler, checked
from privacy.channel.member import Member, Role
from privacy.errors import IdentityError
from privacy.study import Study

TLS_VERSION = b"TLSv1.3"
KEY_EXCHANGE = b"X25519MLKEM768"

MethodTable = Mapping[str, frozenset[Role]]
"""Roles that may call each method, by full name: `/package.Service/Method`."""


class Authorisation(grpc.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs alone
    """Refuses each call whose peer, line or method is not allowed; put `status.Translation` before it.

    Args:
        consortium: the only consortium whose members may call.
        table: who may call which method; nothing else may be called.
        admit: raises a typed error for a member that may not take part, for instance `on_roster(study)`.
        clock: the present, aware.
        known: raises a typed error for a certificate that its member has replaced.
    """

    def __init__(
        self,
        consortium: str,
        table: MethodTable,
        admit: Callable[[Member], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        known: Callable[[Member, x509.Certificate], None] = lambda member, certificate: None,
    ) -> None:
        self._consortium = consortium
        self._table = table
        self._admit = admit
        self._clock = clock
        self._known = known

    def intercept_service(
        self,
        continuation: Continuation,
        details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Wrap the handler of a method, if there is one, in the checks of this object."""
        handler = continuation(details)
        allowed = self.roles(details.method)

        def check(context: grpc.ServicerContext) -> None:
            self.authorise(context, allowed)

        return None if handler is None else checked(handler, check)

    def roles(self, method: str) -> frozenset[Role]:
        """Who may call a method: nobody, if the table does not have it."""
        return self._table.get(method, frozenset())

    def authorise(self, context: grpc.ServicerContext, allowed: frozenset[Role]) -> Member:
        """The verified caller.

        Raises:
            IdentityError: weak line, no or foreign SPIFFE id, expired certificate or another role.
            CollegiumError: what `admit` raises.
        """
        properties = _properties(context)
        _check_line(properties)
        member = caller(context)
        self.check(member, _certificate(_single(properties, "x509_pem_cert")), allowed)
        return member

    def check(self, member: Member, certificate: x509.Certificate, allowed: frozenset[Role]) -> None:
        """Whether a caller that showed this certificate, and holds its key, may call now.

        Raises:
            IdentityError: of another consortium, expired certificate or another role.
            CollegiumError: what `admit` and `known` raise.
        """
        if member.consortium != self._consortium:
            raise IdentityError(
                f"the caller belongs to consortium '{member.consortium}', not to that of this study; check the address",
                code="identity.foreign",
            )
        profile.check_dates(certificate, self._clock(), "the caller's")
        if member.role not in allowed:
            raise IdentityError(
                f"the role '{member.role}' may not call this method; upgrade the caller or use the right address",
                code="identity.forbidden",
            )
        self._admit(member)
        self._known(member, certificate)


class Proven:
    """The context of a call whose caller was proven by other means than TLS (`privacy.channel.one_way`)."""

    def __init__(self, context: grpc.ServicerContext, member: Member) -> None:
        self._context, self.member = context, member

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def caller(context: grpc.ServicerContext) -> Member:
    """Who is calling, for a servicer behind `Authorisation`, or behind what gives it a `Proven` context.

    Raises:
        IdentityError: the certificate does not have exactly one SPIFFE id of ours.
    """
    if isinstance(context, Proven):
        return context.member
    identifier = _single(_properties(context), "peer_spiffe_id")
    return Member.from_uri(identifier.decode("ascii", errors="replace"))


def on_roster(study: Study) -> Callable[[Member], None]:
    """An `admit` that lets in the silos and the aggregator of one study.

    The function raises StudyError (`study.not_on_roster`) for any other member.
    """

    def admit(member: Member) -> None:
        if member.role is Role.AGGREGATOR and member.name == study.roster.aggregator.name:
            return
        if member.role is Role.AGGREGATOR:
            raise IdentityError("another aggregator serves this study; check its address", code="identity.forbidden")
        study.roster.index(member.name)

    return admit


def methods(service: ServiceDescriptor) -> frozenset[str]:
    """The full names of all RPCs of a service, as the table has them."""
    return frozenset(f"/{service.full_name}/{method.name}" for method in service.methods)


def check_complete(table: MethodTable, services: Iterable[ServiceDescriptor]) -> None:
    """Check that the table names every RPC of `services`, nothing else, and a role for each.

    Raises:
        RuntimeError: it does not; the table is a part of the program.
    """
    known = frozenset[str]().union(*(methods(service) for service in services))
    wrong = sorted(known ^ table.keys()) + sorted(name for name, roles in table.items() if not roles)
    if wrong:
        raise RuntimeError(f"the method table does not fit the services: {', '.join(wrong)}")


def check_version(context: grpc.ServicerContext) -> None:
    """Refuse a line of less than TLS 1.3, which grpcio cannot be told to do. Raises IdentityError."""
    _check_version(_properties(context))


def _check_version(properties: Mapping[str, Iterable[bytes]]) -> None:
    if _single(properties, "ssl_tls_version") != TLS_VERSION:
        raise IdentityError(
            "the connection is not TLS 1.3; upgrade the caller, or what opens TLS before it", code="identity.weak_tls"
        )


def _check_line(properties: Mapping[str, Iterable[bytes]]) -> None:
    _check_version(properties)
    if _single(properties, "ssl_negotiated_key_exchange_group") != KEY_EXCHANGE:
        raise IdentityError(
            "the connection has no X25519MLKEM768 key exchange; upgrade the caller", code="identity.weak_tls"
        )


def _properties(context: grpc.ServicerContext) -> Mapping[str, Iterable[bytes]]:
    # Each property is a sequence of values; the stubs know only one.
    return cast(Mapping[str, Iterable[bytes]], context.auth_context())


def _single(properties: Mapping[str, Iterable[bytes]], name: str) -> bytes:
    values = tuple(properties.get(name, ()))
    return values[0] if len(values) == 1 else b""


@lru_cache(maxsize=256)
def _certificate(pem: bytes) -> x509.Certificate:
    return profile.parse(pem, "the caller's certificate")

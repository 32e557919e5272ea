"""Typed errors over gRPC: the same class, code and sentence on both ends, and no foreign text.

The server sends our own sentence as the status detail, the class and the code as trailing metadata.
Anything that is not a `CollegiumError` crosses as INTERNAL with a random incident number, which the
server's log has beside the traceback. The client trusts neither length nor characters of what it gets.
"""

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import grpc

from privacy import errors
from privacy.channel.authorisation import caller
from privacy.channel.interception import Continuation, Handler, guarded
from privacy.channel.member import Role
from privacy.errors import CollegiumError, IdentityError, ProtocolError, Unreachable

KIND_KEY = "collegium-error"
CODE_KEY = "collegium-code"
MAX_TEXT = 400
"""Characters of a peer's sentence that are shown."""

_log = logging.getLogger(__name__)

_STATUS: dict[type[CollegiumError], grpc.StatusCode] = {
    errors.ConfigError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.StudyError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.PolicyRefused: grpc.StatusCode.PERMISSION_DENIED,
    errors.BudgetExceeded: grpc.StatusCode.FAILED_PRECONDITION,
    errors.IdentityError: grpc.StatusCode.UNAUTHENTICATED,
    errors.ProtocolError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.CorruptState: grpc.StatusCode.DATA_LOSS,
    errors.StorageError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.AlreadyRunning: grpc.StatusCode.ABORTED,
    errors.DataError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.PreflightFailed: grpc.StatusCode.FAILED_PRECONDITION,
    errors.RoundAbandoned: grpc.StatusCode.ABORTED,
    errors.WorkerFailed: grpc.StatusCode.INTERNAL,
    errors.Unreachable: grpc.StatusCode.UNAVAILABLE,
}
_KINDS: dict[str, type[CollegiumError]] = {kind.__name__: kind for kind in _STATUS}


@dataclass(frozen=True)
class Told:
    """How a call ended, as far as it crosses the wire: gRPC's status, our sentence, class and code of the error."""

    status: grpc.StatusCode
    text: str
    kind: str
    code: str


class Translation(grpc.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs alone
    """Ends each call that raised with the status of its error; must be the outermost interceptor.

    Args:
        count: is given the code of each error, as `counted` has it, and the silo whose certificate TLS verified, or "".
    """

    def __init__(self, count: Callable[[str, str], None] = lambda code, silo: None) -> None:
        self._count = count

    def intercept_service(
        self,
        continuation: Continuation,
        details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Wrap the handler of a method, if there is one."""
        handler = continuation(details)
        return None if handler is None else guarded(handler, self._translate)

    @contextmanager
    def _translate(self, context: grpc.ServicerContext) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  # every kind of error ends the call, and `told` tells them apart
            outcome = told(error)
            self._count(counted(outcome), _silo(context))
            end(context, outcome)


def counted(outcome: Told) -> str:
    """Under which code an error is counted; all that are defects of ours under one."""
    return outcome.code if outcome.kind else "defect"


@contextmanager
def calling(peer: str) -> Iterator[None]:
    """Raise what a call (or the reading of its stream) ended with as a `CollegiumError`.

    Args:
        peer: how errors call the other end, for instance `the aggregator at host:443`.

    Raises:
        CollegiumError: of the class that the server raised.
        Unreachable: no answer, or none in time.
        ProtocolError: the server met a defect or speaks another version.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc(error, peer) from error


def from_rpc(error: grpc.RpcError, peer: str) -> CollegiumError:
    """The typed error for what a gRPC call ended with (see `calling`)."""
    metadata: dict[str, str | bytes] = {entry.key: entry.value for entry in error.trailing_metadata() or ()}
    kind, code = metadata.get(KIND_KEY), metadata.get(CODE_KEY)
    text = _printable(error.details() or "")
    if isinstance(kind, str) and isinstance(code, str) and kind in _KINDS:
        return _KINDS[kind](f"{peer} says: {text}", code=_printable(code))
    status = error.code()
    if status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return Unreachable(f"{peer} does not answer; check that it runs and that the network lets us through")
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Unreachable(f"{peer} did not answer in time; try again later", code="peer.timeout")
    if status is grpc.StatusCode.UNIMPLEMENTED:
        return ProtocolError(f"{peer} does not know this call; upgrade the older side", code="peer.version")
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return ProtocolError(f"{peer} and we disagree on message sizes; upgrade the older side", code="peer.version")
    incident = f" (incident {_printable(code)})" if isinstance(code, str) else ""
    return ProtocolError(
        f"{peer} met a defect of its own{incident}; its operator finds it in its log", code="peer.defect"
    )


def told(error: Exception) -> Told:
    """What the caller is told of an error; one that is not ours is logged whole, and only its number is told."""
    if isinstance(error, CollegiumError):
        kind = next(base for base in type(error).__mro__ if base in _STATUS or base is CollegiumError)
        return Told(_STATUS.get(kind, grpc.StatusCode.UNKNOWN), str(error), kind.__name__, error.code)
    incident = secrets.token_hex(4)
    _log.error("incident %s: a call ended with a defect", incident, exc_info=error, extra={"incident": incident})
    return Told(grpc.StatusCode.INTERNAL, "", "", incident)


def end(context: grpc.ServicerContext, outcome: Told, *more: tuple[str, bytes]) -> NoReturn:
    """End a call with an error, and `more` trailing metadata."""
    context.set_trailing_metadata(((KIND_KEY, outcome.kind), (CODE_KEY, outcome.code), *more))
    context.abort(outcome.status, outcome.text)
    raise RuntimeError("abort returned")


def _silo(context: grpc.ServicerContext) -> str:
    try:
        member = caller(context)
    except IdentityError:
        return ""
    return member.name if member.role is Role.SILO else ""


def _printable(text: str) -> str:
    return "".join(character for character in text[:MAX_TEXT] if character.isprintable())

"""`grpc.health.v1.Health` on the aggregator's ports, for its peers: behind TLS, roles and limits like any call.

Two names have a status. The server, "": as `/readyz` has it (`aggregator.operations.readiness`). The study's service,
`collegium.v1.Aggregator`: that, and that its rounds can go on. Probes that have no certificate ask `/livez` and
`/readyz` (`serve --watch-at`) instead. No reason crosses the line: it is for the operator. Check says our time beside.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import grpc

from privacy.channel.authorisation import MethodTable
from privacy.channel.member import Role
from privacy.wire import convert, health
from privacy.wire.health import Status

LOOK_SECONDS = 1.0
"""How often a Watch looks whether the status changed."""
METHODS: MethodTable = {
    f"/{health.SERVICE.full_name}/{name}": frozenset({Role.SILO}) for name in ("Check", "List", "Watch")
}
"""Which role may call each method. An aggregator's certificate is for serving alone, so that no TLS client has one."""


class Health:
    """Handlers of `grpc.health.v1.Health`.

    Args:
        lacking: what is missing before the program is ready; empty when it is.
        halted: why the rounds of the study cannot go on; empty when they can.
    """

    def __init__(self, lacking: Callable[[], Sequence[str]], halted: Callable[[], str]) -> None:
        self._lacking, self._halted = lacking, halted

    def handler(self) -> "grpc.GenericRpcHandler[bytes, bytes]":
        """What a `grpc.Server` is given."""
        return grpc.method_handlers_generic_handler(
            health.SERVICE.full_name,
            {
                "Check": grpc.unary_unary_rpc_method_handler(self._check),
                "List": grpc.unary_unary_rpc_method_handler(self._list),
                "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
            },
        )

    def statuses(self) -> dict[str, Status]:
        """The status of each name."""
        ready = not self._lacking()
        return {
            "": Status.SERVING if ready else Status.NOT_SERVING,
            convert.SERVICE.full_name: Status.SERVING if ready and not self._halted() else Status.NOT_SERVING,
        }

    def _check(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        status = self._status(health.decode_check(request))
        if status is Status.SERVICE_UNKNOWN:
            context.set_code(grpc.StatusCode.NOT_FOUND)  # as the health protocol has it
        context.set_trailing_metadata(((health.TIME_KEY, datetime.now(UTC).isoformat()),))
        return health.encode_status(status)

    def _list(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        health.decode_list(request)
        return health.encode_statuses(self.statuses())

    def _watch(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        name, told = health.decode_check(request), None
        while context.is_active():
            status = self._status(name)
            if status is not told:
                told = status
                yield health.encode_status(status)
            time.sleep(LOOK_SECONDS)

    def _status(self, name: str) -> Status:
        return self.statuses().get(name, Status.SERVICE_UNKNOWN)

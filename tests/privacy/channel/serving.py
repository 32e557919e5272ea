"""A real gRPC server on loopback over real TLS, and a client that checks nothing by itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import grpc
from cryptography import x509

from privacy.channel import tls
from privacy.channel.authorisation import Authorisation, caller
from privacy.channel.identity import Identity
from privacy.channel.limits import Allowance, Limits, threads_for
from privacy.channel.member import Member, Role
from privacy.channel.one_way.service import Allowed, OneWay
from privacy.channel.status import Translation

Options = tuple[tuple[str, int], ...]
SILO_ONLY = frozenset({Role.SILO})


class Echo:
    """A service whose behaviours a test can replace; by default each says who called."""

    TABLE = {f"/t.Echo/{kind}": SILO_ONLY for kind in ("Unary", "Down", "Up", "Both")} | {
        "/t.Echo/OfAggregators": frozenset({Role.AGGREGATOR})
    }

    def __init__(self, answer: Callable[[grpc.ServicerContext], bytes]) -> None:
        self.calls = 0
        self._answer = answer

    def answer(self, context: grpc.ServicerContext) -> bytes:
        self.calls += 1
        return self._answer(context)

    def handlers(self) -> grpc.GenericRpcHandler:
        def one(_: bytes, context: grpc.ServicerContext) -> bytes:
            return self.answer(context)

        def down(_: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            yield b"first"
            yield self.answer(context)

        def up(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            return b"%d " % len(list(requests)) + self.answer(context)

        def both(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            yield from requests
            yield self.answer(context)

        return grpc.method_handlers_generic_handler(
            "t.Echo",
            {
                "Unary": grpc.unary_unary_rpc_method_handler(one),
                "Down": grpc.unary_stream_rpc_method_handler(down),
                "Up": grpc.stream_unary_rpc_method_handler(up),
                "Both": grpc.stream_stream_rpc_method_handler(both),
                "OfAggregators": grpc.unary_unary_rpc_method_handler(one),
                "NotInTheTable": grpc.unary_unary_rpc_method_handler(one),
            },
        )


def changed(options: Options, values: Mapping[str, int]) -> Options:
    """The options with other values. One that is not there stays away, so that its test misses it."""
    return tuple((name, values.get(name, value)) for name, value in options)


@contextmanager
def serving(
    identity: Identity,
    answer: Callable[[grpc.ServicerContext], bytes] = lambda context: caller(context).uri.encode(),
    admit: Callable[[Member], None] = lambda member: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    allowance: Allowance | None = None,
) -> Iterator[tuple[int, Echo]]:
    """A real server on loopback over real TLS: its port and its service."""
    echo = Echo(answer)
    allowed = allowance or Allowance()
    interceptors = (
        Translation(),
        Authorisation(identity.member.consortium, Echo.TABLE, admit, clock),
        Limits(allowed),
    )
    pool = ThreadPoolExecutor(threads_for(2, allowed))
    server = grpc.server(pool, interceptors=interceptors, options=tls.SERVER_OPTIONS)
    server.add_generic_rpc_handlers((echo.handlers(),))
    port = tls.listen(server, identity, "127.0.0.1:0")
    server.start()
    try:
        yield port, echo
    finally:
        server.stop(0).wait()


@contextmanager
def serving_one_way(
    identity: Identity,
    silos: Sequence[Identity],
    study: bytes,
    admit: Callable[[Member], None] = lambda member: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    known: Callable[[Member, x509.Certificate], None] = lambda member, certificate: None,
    used: Callable[[str], None] = lambda silo: None,
    port: int = 0,
) -> Iterator[tuple[int, Echo]]:
    """As `serving`, but a port of one-way lines for these silos."""
    echo = Echo(lambda context: caller(context).uri.encode())
    allowed = Allowed(study, {silo.member.name: silo.keys.public_identity for silo in silos})
    front = OneWay(identity, allowed, Authorisation(identity.member.consortium, Echo.TABLE, admit, clock, known), used)
    server = grpc.server(ThreadPoolExecutor(8), interceptors=(front, Limits(Allowance())), options=tls.SERVER_OPTIONS)
    server.add_generic_rpc_handlers((echo.handlers(),))
    bound = tls.listen(server, identity, f"127.0.0.1:{port}", one_way=True)
    server.start()
    try:
        yield bound, echo
    finally:
        server.stop(0).wait()


@contextmanager
def raw_channel(port: int, authority: bytes, key: bytes | None, certificate: bytes | None) -> Iterator[grpc.Channel]:
    """A client that checks nothing of its own before it dials."""
    credentials = grpc.ssl_channel_credentials(authority, key, certificate)
    with grpc.secure_channel(f"localhost:{port}", credentials, (("grpc.enable_http_proxy", 0),)) as channel:
        yield channel

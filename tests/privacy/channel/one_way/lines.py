"""A line to an aggregator over real gRPC, through a proxy that opens TLS or straight, and calls on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from privacy.channel.identity import Identity
from privacy.channel.one_way.line import Line, Way
from privacy.channel.status import calling
from privacy.errors import CollegiumError
from tests.privacy.channel.breaking_proxy import BreakingProxy
from tests.privacy.channel.serving import Echo, serving_one_way

STUDY = b"s" * 32
NAME = b"spiffe://chest-net/silo/st-marys"


@contextmanager
def through(
    hub: Identity, silo: Identity, kind: type[BreakingProxy] = BreakingProxy, **serving: Any
) -> Iterator[tuple[Line, Echo, BreakingProxy]]:
    """A line of `silo` through a proxy to an aggregator that allows it."""
    allowed = serving.pop("silos", [silo])
    with serving_one_way(hub, allowed, STUDY, **serving) as (port, echo):
        proxy = kind(port, hub.authority_pem)
        with proxy.running() as open_at:
            line = line_to(hub, silo, open_at, proxy.trusted)
            try:
                yield line, echo, proxy
            finally:
                line.close()


def line_to(
    hub: Identity, silo: Identity, port: int, trusted: bytes, study: bytes = STUDY, count: Any = lambda *_: None
) -> Line:
    return Line(silo, f"localhost:{port}", Way(study, hub.keys.public_identity, trusted), count)


def call(line: Line, method: str = "Unary") -> Any:
    path = f"/t.Echo/{method}"
    with calling("the aggregator"):
        if method == "Up":
            return line.stream_unary(path)(iter([b"a", b"b", b"c"]), timeout=10)
        if method == "Down":
            return list(line.unary_stream(path)(b"ask", timeout=10))
        return line.unary_unary(path)(b"ask", timeout=10)


def refused(line: Line, method: str = "Unary") -> CollegiumError:
    with pytest.raises(CollegiumError) as caught:
        call(line, method)
    return caught.value

"""Checks of the route to the aggregator, a step each: proxy or DNS, connection (`reach`), and TLS (`handshake`).

gRPC says "Socket closed" to all of it. No message is sent, and our certificate is not shown.
"""

import os
from collections.abc import Iterator
from functools import partial

from privacy.channel.identity import Identity
from privacy.channel.tls import host_and_port, is_loopback
from privacy.operations import handshake, reach
from privacy.operations.findings import Check, Doubtful

UNREAD = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "all_proxy")
"""Variables that other programs read, and gRPC does not."""


def checks(identity: Identity, target: str, proxy: str | None = None, trusted: bytes | None = None) -> Iterator[Check]:
    """All of them, for `HOST:PORT` by an HTTP proxy (that of the environment when left out). Raises ConfigError.

    `trusted`: PEM of the certificates that vouch for a one-way line, where the proxy opens TLS.
    """
    host, port = host_and_port(target)
    proxy = proxy or reach.proxy_for(host)
    if proxy is None:
        if not is_loopback(host) and any(os.environ.get(name) for name in UNREAD):
            yield "proxy", _unread
        yield "DNS", partial(reach.resolve, host)
    else:
        yield "proxy", partial(reach.through, proxy, host, port)
    yield "connection", partial(reach.connect, target, proxy)
    yield "TLS", partial(handshake.look, identity, target, proxy, trusted)


def _unread() -> str:
    named = next(name for name in UNREAD if os.environ.get(name))
    raise Doubtful(
        f"none is used, and {named} is not read; if the way out is a proxy, write it into proxy.url, or set https_proxy"
    )

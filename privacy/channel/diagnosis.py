"""Why the aggregator cannot be reached: gRPC says "Socket closed" to everything, this says what to do.

The steps of `privacy.operations.route` one after the other, after a call failed; when they find nothing wrong, our
certificate is shown once more in a TLS handshake. No message is sent.
"""

from contextlib import suppress

from privacy.channel.identity import Identity
from privacy.channel.tls import host_and_port
from privacy.errors import CollegiumError
from privacy.operations import handshake, reach, route
from privacy.operations.findings import Doubtful
from privacy.token.keys import prove


def diagnose(identity: Identity, target: str, proxy: str | None = None, trusted: bytes | None = None) -> CollegiumError:
    """The error to raise after a call to `target` (HOST:PORT) ended as unreachable.

    Args:
        identity: ours; its CA is the only one that is trusted, unless `trusted` is given.
        target: where the call went.
        proxy: the HTTP proxy that the call went through; that of the environment when left out.
        trusted: PEM of the certificates that vouch for a one-way line, if the call was made on one.

    Returns:
        IdentityError when nothing helps that the aggregator does (foreign or misnamed certificate), else Unreachable.

    Raises:
        ConfigError: `target` is not HOST:PORT.
    """
    host, _ = host_and_port(target)
    proxy = proxy or reach.proxy_for(host)
    try:
        prove(identity.keys.identity, identity.keys.tls)
        for _, look in route.checks(identity, target, proxy, trusted):
            with suppress(Doubtful):
                look()
        return handshake.why_closed(identity, target, proxy, trusted)
    except CollegiumError as error:
        return error

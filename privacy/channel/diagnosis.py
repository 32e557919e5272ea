"""Why the aggregator cannot be reached: gRPC says "Socket closed" to everything, this says what to do.

One look-up, one TCP connection and one TLS handshake with the certificates of `ssl`, after a call
failed. Our own certificate is not shown: its dates are checked before dialling, and an aggregator whose
certificate is of our consortium takes ours. Nothing is sent.
"""

import socket
import ssl

from privacy.channel.identity import Identity
from privacy.channel.tls import host_and_port
from privacy.errors import CollegiumError, IdentityError, Unreachable
from privacy.operations import reach
from privacy.token.keys import prove

_EXPIRED, _NOT_YET_VALID = 10, 9  # X509_V_ERR_* of OpenSSL's x509_vfy.h
_CLOSED = "peer.closed"
_OTHER_HOST, _OTHER_ADDRESS = 62, 64


def diagnose(
    identity: Identity,
    target: str,
    timeout: float = 5.0,
    proxy: str | None = None,
    trusted: bytes | None = None,
) -> CollegiumError:
    """The error to raise after a call to `target` (HOST:PORT) ended as unreachable.

    Args:
        identity: ours; its CA is the only one that is trusted, unless `trusted` is given.
        target: where the call went.
        timeout: seconds for the connection and for the handshake, each.
        proxy: the HTTP proxy that the call went through; that of the environment when left out.
        trusted: PEM of the certificates that vouch for a one-way line, if the call was made on one.

    Returns:
        IdentityError when nothing helps that the aggregator does (foreign or misnamed certificate), else Unreachable.

    Raises:
        ConfigError: `target` is not HOST:PORT.
    """
    host, port = host_and_port(target)
    try:
        prove(identity.keys.identity, identity.keys.tls)
    except CollegiumError as error:
        return error
    proxy = proxy or reach.proxy_for(host)
    if proxy is not None:
        try:
            reach.through(proxy, host, port)
        except CollegiumError as error:
            return error
        return Unreachable(
            f"no answer from {target}, though the proxy lets us through; see that it does not open TLS, and that the"
            " aggregator runs",
            code="peer.proxy",
        )
    try:
        connection = socket.create_connection((host, port), timeout)
    except socket.gaierror:
        return Unreachable(f"the name {host} is not known; check its spelling and DNS", code="peer.unknown_host")
    except OSError:
        return Unreachable(f"nothing answers at {target}; start the aggregator, or check the address and the firewall")
    with connection:
        found = _shake_hands(trusted or identity.authority_pem, connection, host, target)
    if trusted is not None and found.code == _CLOSED:
        return Unreachable(
            f"what opens TLS at {target} answers, but no call gets through; it must pass HTTP/2 on to the aggregator's"
            " port for one-way lines, by TLS 1.3, and take the aggregator's certificate",
            code="peer.proxy",
        )
    return found


def _shake_hands(trusted: bytes, connection: socket.socket, host: str, target: str) -> CollegiumError:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=trusted.decode())
    context.set_alpn_protocols(["h2"])
    try:
        with context.wrap_socket(connection, server_hostname=host):
            return Unreachable(
                f"{target} is the aggregator, but it closes our connection; compare the clocks of both machines",
                code=_CLOSED,
            )
    except ssl.SSLCertVerificationError as error:
        return _verdict(error.verify_code, target)
    except OSError:
        return Unreachable(f"{target} does not speak TLS 1.3; check the address, and that nothing inspects the line")


def _verdict(code: int, target: str) -> CollegiumError:
    if code == _EXPIRED:
        # It is renewed there without a restart, and no hospital should have to start its silo again by hand for that.
        return Unreachable(
            f"the certificate of {target} expired; ask the consortium to renew the aggregator's",
            code="peer.certificate_expired",
        )
    if code == _NOT_YET_VALID:
        return IdentityError(
            f"the certificate of {target} is not valid yet; set the clock of this machine",
            code="identity.not_yet_valid",
        )
    if code in (_OTHER_HOST, _OTHER_ADDRESS):
        return IdentityError(
            f"the aggregator at {target} has no certificate for that name; dial a name that it was admitted with",
            code="identity.other_host",
        )
    return IdentityError(
        f"the certificate of {target} is not of your consortium; check the address, and that nothing inspects the line:"
        " 'collegium-silo doctor' says who issued it, and what to do where a proxy opens TLS",
        code="identity.foreign",
    )

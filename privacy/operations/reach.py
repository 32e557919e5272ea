"""Checks of the way to the aggregator, a step each: proxy, name, connection, TLS and who issued what is shown there.

gRPC says "Socket closed" to all of it. No message is sent, and our certificate is not shown. A certificate that is not
our consortium's is read once more without trusting it, only to name its issuer: mostly a device that opens TLS.
"""

import base64
import os
import socket
import ssl
from collections.abc import Iterator
from functools import partial
from urllib.parse import unquote, urlsplit

from cryptography import x509

from privacy.channel.identity import Identity
from privacy.channel.tls import check_proxy, host_and_port, is_loopback
from privacy.errors import CollegiumError, IdentityError, Unreachable
from privacy.operations.findings import Check

SECONDS = 5.0
_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_LONGEST_ANSWER = 16 * 1024


def checks(identity: Identity, target: str, proxy: str | None = None, trusted: bytes | None = None) -> Iterator[Check]:
    """All of them, for `HOST:PORT` by an HTTP proxy (that of the environment when left out). Raises ConfigError.

    `trusted`: PEM of the certificates that vouch for a one-way line, where the proxy opens TLS.
    """
    host, port = host_and_port(target)
    proxy = proxy or proxy_for(host)
    if proxy is None:
        yield "DNS", partial(resolve, host)
    else:
        yield "proxy", partial(through, proxy, host, port)
    yield "connection", partial(connect, target, proxy)
    yield "TLS", partial(handshake, identity, target, proxy, trusted)


def proxy_for(host: str) -> str | None:
    """The proxy that gRPC would take, from the environment as it does."""
    if is_loopback(host):
        return None
    without = {name.strip().lstrip(".") for name in os.environ.get("no_proxy", "").split(",") if name.strip()}
    if any(host == name or host.endswith(f".{name}") for name in without):
        return None
    return next((os.environ[name] for name in _VARIABLES if os.environ.get(name)), None)


def resolve(host: str) -> str:
    """The addresses of a name. Raises Unreachable."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise Unreachable(
            f"the name {host} is not known; check its spelling and DNS", code="peer.unknown_host"
        ) from error
    return f"{host} is {', '.join(sorted(found))}"


def through(proxy: str, host: str, port: int) -> str:
    """Whether the proxy lets us through. Raises Unreachable, ConfigError."""
    _tunnel(proxy, host, port).close()
    return "lets us through"


def connect(target: str, proxy: str | None) -> str:
    """Whether anything answers at the port. Raises Unreachable."""
    _line(target, proxy).close()
    return f"{target} answers"


def handshake(identity: Identity, target: str, proxy: str | None, trusted: bytes | None = None) -> str:
    """Whether it is our consortium's aggregator by TLS 1.3, or the proxy of a one-way line, by HTTP/2.

    Raises IdentityError, Unreachable.
    """
    host, _ = host_and_port(target)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if trusted else ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=(trusted or identity.authority_pem).decode())
    context.set_alpn_protocols(["h2"])
    try:
        with _line(target, proxy) as line, context.wrap_socket(line, server_hostname=host) as secured:
            shown = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
            if secured.selected_alpn_protocol() != "h2":
                raise Unreachable(
                    f"what answers at {target} does not speak HTTP/2, which gRPC needs; have the proxy pass HTTP/2 on,"
                    " or exempt this address from TLS inspection",
                    code="peer.http2",
                )
            way = "one-way line, " if trusted else ""
            return f"{way}{secured.version()}, issued by {_issuer(shown)}"
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(target, proxy, error, trusted) from error
    except OSError as error:
        raise Unreachable(
            f"{target} does not speak TLS 1.3; check the address, and that nothing inspects the line", code="peer.tls"
        ) from error


def _untrusted(
    target: str, proxy: str | None, error: ssl.SSLCertVerificationError, trusted: bytes | None
) -> CollegiumError:
    issuer = _issuer_shown(target, proxy)
    mend = (
        "put the CA certificate of the proxy that opens TLS into proxy-ca.pem"
        if trusted
        else "if that is a device of your own network, exempt this address from TLS inspection, or, where that cannot "
        "be, ask the consortium for the one-way mode (one_way_tls); else ask the consortium what answers there"
    )
    return IdentityError(
        f"{target} shows a certificate that we do not take ({error.verify_message}), issued by {issuer}; {mend}",
        code="identity.foreign",
    )


def _issuer_shown(target: str, proxy: str | None) -> str:
    host, _ = host_and_port(target)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # to name the issuer; nothing is sent
    try:
        with _line(target, proxy) as line, context.wrap_socket(line, server_hostname=host) as secured:
            return _issuer(x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b""))
    except (OSError, ValueError):
        return "nobody that could be read"


def _issuer(shown: x509.Certificate) -> str:
    text = shown.issuer.rfc4514_string()[:120]
    return "'" + "".join(c if c.isprintable() else "?" for c in text) + "'"


def _line(target: str, proxy: str | None) -> socket.socket:
    host, port = host_and_port(target)
    if proxy is not None:
        return _tunnel(proxy, host, port)
    try:
        return socket.create_connection((host, port), SECONDS)
    except OSError as error:
        raise Unreachable(
            f"nothing answers at {target}; start the aggregator, or check the address and the firewall"
        ) from error


def _tunnel(proxy: str, host: str, port: int) -> socket.socket:
    check_proxy(proxy)
    parts = urlsplit(proxy)
    ask = f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n"
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        ask += f"Proxy-Authorization: Basic {base64.b64encode(secret).decode()}\r\n"
    try:
        line = socket.create_connection((parts.hostname or "", parts.port or 80), SECONDS)
        try:
            line.sendall(f"{ask}\r\n".encode())
            answer = b""
            while b"\r\n\r\n" not in answer and len(answer) < _LONGEST_ANSWER:
                if not (part := line.recv(1024)):
                    break
                answer += part
        except BaseException:
            line.close()
            raise
    except OSError as error:
        raise Unreachable("the proxy does not answer; check its address", code="peer.proxy") from error
    status = answer.split(b" ", 2)[1:2]
    if status == [b"200"]:
        return line
    line.close()
    if status in ([b"407"], [b"401"]):  # tinyproxy says 401 to a wrong password
        raise Unreachable(
            "the proxy wants a name and a password (407); put the right ones into proxy.url or https_proxy",
            code="peer.proxy_login",
        )
    said = status[0].decode("ascii", "replace")[:3] if status else "nothing"
    raise Unreachable(
        f"the proxy does not let us through to {host}:{port} (it says {said}); have it allow that address",
        code="peer.proxy",
    )

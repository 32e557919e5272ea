"""Dials the aggregator, by a proxy where there is one, and says why that fails. Only the proxy is sent anything."""

import base64
import os
import socket
from urllib.parse import unquote, urlsplit

from privacy.channel.tls import check_proxy, host_and_port, is_loopback
from privacy.errors import Unreachable

SECONDS = 5.0
_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_LONGEST_ANSWER = 16 * 1024


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
        raise _unknown(host) from error
    return f"{host} is {', '.join(sorted(found))}"


def through(proxy: str, host: str, port: int) -> str:
    """Whether the proxy lets us through. Raises Unreachable, ConfigError."""
    _tunnel(proxy, host, port).close()
    return f"{_named(proxy)} lets us through"


def connect(target: str, proxy: str | None) -> str:
    """Whether anything answers at the port. Raises Unreachable."""
    line(target, proxy).close()
    return f"{target} answers"


def line(target: str, proxy: str | None) -> socket.socket:
    """A TCP connection to `HOST:PORT`, for the caller to close. Raises Unreachable, ConfigError."""
    host, port = host_and_port(target)
    if proxy is not None:
        return _tunnel(proxy, host, port)
    try:
        return socket.create_connection((host, port), SECONDS)
    except socket.gaierror as error:
        raise _unknown(host) from error
    except TimeoutError as error:
        raise Unreachable(
            f"no answer from {target} within {SECONDS:.0f} s; a firewall on the way drops what is sent there, or no "
            "machine has that address: have TCP to it let out"
        ) from error
    except ConnectionRefusedError as error:
        raise Unreachable(
            f"nothing answers at {target}: the connection is refused; start the aggregator, or check the port and the "
            "firewall"
        ) from error
    except OSError as error:
        raise Unreachable(
            f"nothing answers at {target} ({error.strerror}); check this machine's network, and the firewall"
        ) from error


def _unknown(host: str) -> Unreachable:
    return Unreachable(
        f"the name {host} is not known; check its spelling and this machine's DNS, or, where only the proxy knows "
        "names outside, write the proxy into proxy.url",
        code="peer.unknown_host",
    )


def _named(proxy: str) -> str:
    """A proxy without its name and password."""
    parts = urlsplit(proxy)
    return f"the proxy {parts.hostname}:{parts.port or 80}"


def _tunnel(proxy: str, host: str, port: int) -> socket.socket:
    check_proxy(proxy)
    parts = urlsplit(proxy)
    ask = f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n"
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        ask += f"Proxy-Authorization: Basic {base64.b64encode(secret).decode()}\r\n"
    try:
        tunnel = socket.create_connection((parts.hostname or "", parts.port or 80), SECONDS)
        try:
            tunnel.sendall(f"{ask}\r\n".encode())
            answer = b""
            while b"\r\n\r\n" not in answer and len(answer) < _LONGEST_ANSWER:
                if not (part := tunnel.recv(1024)):
                    break
                answer += part
        except BaseException:
            tunnel.close()
            raise
    except OSError as error:
        raise _silent(proxy, error) from error
    status = answer.split(b" ", 2)[1:2]
    if answer.startswith(b"HTTP/") and status == [b"200"]:
        return tunnel
    tunnel.close()
    said = status[0].decode("ascii", "replace")[:3] if answer.startswith(b"HTTP/") and status else ""
    raise _refused(proxy, said, f"{host}:{port}")


def _silent(proxy: str, error: OSError) -> Unreachable:
    why = {socket.gaierror: "its name is not known", ConnectionRefusedError: "the connection is refused"}.get(
        type(error), f"nothing came within {SECONDS:.0f} s" if isinstance(error, TimeoutError) else "the line broke"
    )
    return Unreachable(
        f"{_named(proxy)} does not answer: {why}; check the address in proxy.url or https_proxy", code="peer.proxy"
    )


def _refused(proxy: str, said: str, target: str) -> Unreachable:
    if said in ("407", "401"):  # tinyproxy says 401 to a wrong password
        if urlsplit(proxy).username:
            return Unreachable(
                f"{_named(proxy)} refuses the name and the password ({said}); put the right ones into proxy.url or "
                "https_proxy, special characters as %XX",
                code="peer.proxy_login",
            )
        return Unreachable(
            f"{_named(proxy)} wants a name and a password ({said}); put them into proxy.url (Basic authentication: "
            "gRPC knows no NTLM or Kerberos, so a proxy with these has to let this machine through without)",
            code="peer.proxy_login",
        )
    if not said:
        return Unreachable(
            f"{_named(proxy)} does not answer as an HTTP proxy does; check its port, which is its plain one",
            code="peer.proxy",
        )
    if said[:1] == "5":
        return Unreachable(
            f"{_named(proxy)} cannot reach {target} (it says {said}); check that name and port, that the aggregator "
            "runs, and that the proxy may connect to it",
            code="peer.proxy",
        )
    return Unreachable(
        f"{_named(proxy)} does not let us through to {target} (it says {said}); have it allow CONNECT to that address",
        code="peer.proxy",
    )

"""Mutual TLS with the consortium's CA as the only root, and the gRPC options that go with it.

Both sides show a certificate; the client verifies the host name; the server's authorisation then
refuses anything but TLS 1.3 with X25519MLKEM768, which grpcio cannot be told to do by itself.
grpcio tells a refused client only "Socket closed": `privacy.channel.diagnosis` finds out why.
"""

import ipaddress
import logging
import re
import warnings
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import grpc
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from grpc.experimental import (
    ExperimentalApiWarning,
    PrivateKeySignatureAlgorithm,
    ssl_channel_credentials_with_custom_signer,
)

from privacy.channel.identity import CERTIFICATE_FILE, Identity
from privacy.channel.member import Role
from privacy.errors import CollegiumError, ConfigError, StorageError
from privacy.token.keys import TokenCertificateKey

_log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""No message is larger in either direction; ciphertexts travel in frames of about 1 MiB."""

_LIMITS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)

SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    *_LIMITS,
    # What a stream may send ahead of its handler, which a broken line loses and memory holds, for each call of each
    # connection. The window otherwise grows to 4 MiB and more; for a message that is being read it opens by itself, so
    # that at 50 ms there and back a stream is hardly slower than with 1 MiB (6.9 and 7.9 MiB/s on one machine).
    ("grpc.http2.lookahead_bytes", 2**17),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.so_reuseport", 0),  # a second server on the port must fail, not share it
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),  # the default of 300 s answers our pings with GOAWAY
    ("grpc.http2.max_ping_strikes", 2),
    ("grpc.max_connection_age_ms", 15 * 60_000),  # so that renewed certificates come into use
    ("grpc.max_connection_age_grace_ms", 60 * 60_000),  # for calls to finish; what is cut then goes on where it was
    # Holds from when the other end acknowledges it; till then the C core takes 16 MiB of metadata a call, which are 70
    # MiB of memory where entries are short. So the calls of a connection are few, which holds from the start.
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", 8),
    ("grpc.http2.settings_timeout", 10_000),
    # What may be open before any code of ours runs: connections of all peers, and of strangers until their handshake
    # ends in time.
    ("grpc.max_allowed_incoming_connections", 1024),
    ("grpc.server_handshake_timeout_ms", 20_000),
)
"""For `grpc.server(..., options=...)`."""

CLIENT_OPTIONS: tuple[tuple[str, int], ...] = (
    *_LIMITS,
    ("grpc.keepalive_time_ms", 60_000),
    # How long the other end may be silent after a ping, and the kernel of what is next on the line after what was sent:
    # the second alone leaves a line for a minute on which somebody in between, as a proxy, still takes our bytes.
    ("grpc.http2.ping_timeout_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),  # the C core otherwise stops after two idle pings
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 15_000),
)
"""Set on every channel that `channel` makes."""


def server_credentials(
    identity: Identity, now: datetime | None = None, folder: Path | None = None, *, one_way: bool = False
) -> grpc.ServerCredentials:
    """Credentials of the aggregator: it serves only peers with a certificate of the same CA, unless `one_way`.

    A certificate that is renewed in the identity `folder` serves the connections that come after, without a restart;
    one there that cannot be used is logged, and the present one goes on.

    Raises:
        IdentityError: its own certificate is not valid at `now` (the clock when left out).
        ConfigError: the identity is not an aggregator's.
    """
    _require(identity, Role.AGGREGATOR)
    if isinstance(identity.keys.tls, TokenCertificateKey):
        raise ConfigError("the TLS key of an aggregator cannot be in a token, as gRPC serves with keys in files alone")
    identity.check_dates(now)
    # The stubs do not know that the fetcher may say that nothing is new.
    fetcher = cast(Callable[[], grpc.ServerCertificateConfiguration], _Renewed(identity, folder))
    return grpc.dynamic_ssl_server_credentials(
        _configuration(identity), fetcher, require_client_authentication=not one_way
    )


def channel(identity: Identity, target: str, now: datetime | None = None, proxy: str | None = None) -> grpc.Channel:
    """A channel of a silo to `HOST:PORT`; the caller closes it. Nothing is dialled yet.

    An HTTP proxy, `http://NAME:PASSWORD@HOST:PORT`, carries the TLS inside a CONNECT tunnel. When none is given it is
    taken from `https_proxy` as grpcio does, but never for this machine itself.

    Raises:
        IdentityError: our own certificate is not valid at `now` (the clock when left out).
        ConfigError: the target is not HOST:PORT, the proxy is of another kind, or the identity is not a silo's.
    """
    _check_silo(identity, now)
    credentials = _client_credentials(identity)
    return _dialled(target, credentials, proxy)


def one_way_channel(identity: Identity, target: str, trusted: bytes, proxy: str | None = None) -> grpc.Channel:
    """As `channel`, to the port of one-way lines: no certificate is shown, and `trusted` (PEM) vouches for the server.

    Only for `privacy.channel.one_way`, which signs what TLS does not protect here.
    """
    _check_silo(identity, None)
    return _dialled(target, grpc.ssl_channel_credentials(trusted), proxy)


def check_proxy(proxy: str) -> None:
    """Refuse a proxy of a kind that gRPC does not speak to.

    Raises:
        ConfigError: not `http://`; what is in it is not told.
    """
    try:
        parts, port = urlsplit(proxy), urlsplit(proxy).port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme == "https":
        raise ConfigError(
            "gRPC cannot speak TLS to the proxy itself (https://); give its plain port, http://HOST:PORT, which "
            "carries our TLS as it is, or have the network let this machine through without the proxy",
            code="config.proxy",
        )
    if parts.scheme != "http" or not parts.hostname or port == 0:
        raise ConfigError(
            "the proxy is not http://NAME:PASSWORD@HOST:PORT; gRPC knows no other kind, and special characters of a "
            "password are written as %XX",
            code="config.proxy",
        )


def listen(
    server: grpc.Server, identity: Identity, address: str, folder: Path | None = None, *, one_way: bool = False
) -> int:
    """Bind `HOST:PORT` (port 0 = any) and return the port; `folder` as for `server_credentials`.

    TLS is mutual, but for the port of one-way lines (`privacy.channel.one_way`), which asks for no certificate.

    Raises:
        IdentityError: as for `server_credentials`.
        ConfigError: the address is malformed, taken or not ours.
    """
    host_and_port(address)
    credentials = server_credentials(identity, folder=folder, one_way=one_way)
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        port = _refuse_address(address, error)
    return port or _refuse_address(address, None)


def host_and_port(target: str) -> tuple[str, int]:
    """Split `HOST:PORT`, `[IPv6]:PORT`; anything else (a scheme, a socket path) is refused.

    Raises:
        ConfigError: it is neither.
    """
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:]{2,39})\]|([A-Za-z0-9.-]{1,253})):([0-9]{1,5})", target)
    if match is None or int(match[3]) > 65535:
        raise ConfigError(f"'{target[:80]}' is not HOST:PORT; write for example aggregator.example.org:443")
    return match[1] or match[2], int(match[3])


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Renewed:
    """Asked by gRPC at each handshake: the new certificate, if there is one since it was asked last."""

    def __init__(self, identity: Identity, folder: Path | None) -> None:
        self._served, self._folder = identity.certificate_pem, folder
        self._told: bytes | None = None

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        if self._folder is None:
            return None
        data = b""
        try:
            data = (self._folder / CERTIFICATE_FILE).read_bytes()
            if data == self._served:
                return None
            found = Identity.load(self._folder)
            _require(found, Role.AGGREGATOR)
            found.check_dates()
        except (CollegiumError, OSError) as error:
            # Told once, and looked at again each time: the clock may be behind, or the key that fits on its way.
            if data != self._told:
                code = error.code if isinstance(error, CollegiumError) else StorageError.default_code
                _log.error("the aggregator's new certificate is not used: %s", error, extra={"code": code})
            self._told = data
            return None
        self._served, self._told = data, None
        return _configuration(found)


def _client_credentials(identity: Identity) -> grpc.ChannelCredentials:
    key = identity.keys.tls
    if not isinstance(key, TokenCertificateKey):
        return grpc.ssl_channel_credentials(identity.authority_pem, identity.tls_key_pem, identity.certificate_pem)

    def sign(data: bytes, algorithm: object, _: object) -> bytes:
        """Called by gRPC in each handshake; what is raised here ends the handshake and is told by nobody else."""
        try:
            if algorithm != PrivateKeySignatureAlgorithm.ECDSA_SECP256R1_SHA256:
                raise RuntimeError("the handshake wants another signature than an EC P-256 key makes")
            return key.sign(data, ec.ECDSA(hashes.SHA256()))
        except CollegiumError as error:
            _log.error("cannot connect: %s", error, extra={"code": error.code})
            raise

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalApiWarning)  # known: docs/decisions/0039
        made: grpc.ChannelCredentials = ssl_channel_credentials_with_custom_signer(
            private_key_sign_fn=sign,
            root_certificates=identity.authority_pem,
            certificate_chain=identity.certificate_pem,
        )
    return made


def _configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
    pair = (identity.tls_key_pem, identity.certificate_pem)
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=identity.authority_pem)


def _check_silo(identity: Identity, now: datetime | None) -> None:
    _require(identity, Role.SILO)
    identity.check_dates(now)


def _dialled(target: str, credentials: grpc.ChannelCredentials, proxy: str | None) -> grpc.Channel:
    host, _ = host_and_port(target)
    if proxy is not None:
        check_proxy(proxy)
    local = (("grpc.enable_http_proxy", 0),) if is_loopback(host) else ()
    way = local if proxy is None else (("grpc.http_proxy", proxy),)
    return grpc.secure_channel(target, credentials, options=(*CLIENT_OPTIONS, *way))


def _require(identity: Identity, role: Role) -> None:
    if identity.member.role is not role:
        raise ConfigError(
            f"this is the identity of {identity.member.uri}, but the role '{role}' is needed; check --state"
        )


def _refuse_address(address: str, error: RuntimeError | None) -> int:
    raise ConfigError(
        f"cannot listen on {address}; stop the process that holds it or choose another address", code="config.address"
    ) from error

"""A hospital's proxy that opens TLS: it shows a certificate of its own CA and calls the aggregator with what it read.

It speaks gRPC at both ends, so a hostile one (a subclass) can change, drop, repeat and move whole messages, and what is
in the metadata: all that a device in its place could do.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from privacy.channel import tls

Metadata = Sequence[tuple[str, str | bytes]]

OPTIONS = tuple(option for option in tls.SERVER_OPTIONS if option[0] != "grpc.max_concurrent_streams")
"""A device carries the calls of a house: with as few at a time as our server, those that a hostile one holds would
shut its silo out."""


class BreakingProxy(grpc.GenericRpcHandler):
    """Forwards every call to `port` of this machine, whose certificate `authority` (PEM) must have issued.

    Attributes:
        trusted: PEM of the proxy's CA, which the hospital's machines trust.
        seen: the records of all requests, by method.
    """

    def __init__(self, port: int, authority: bytes) -> None:
        self._onward = grpc.secure_channel(
            f"localhost:{port}",
            grpc.ssl_channel_credentials(authority),
            (*tls.CLIENT_OPTIONS, ("grpc.enable_http_proxy", 0)),
        )
        self.trusted, self._certificate, self._key = _certificates()
        self.seen: dict[str, list[bytes]] = {}
        self.heads: list[tuple[str, Metadata]] = []

    @contextmanager
    def running(self) -> Iterator[int]:
        server = grpc.server(ThreadPoolExecutor(32), options=OPTIONS)
        server.add_generic_rpc_handlers((self,))
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(self._key, self._certificate)]))
        server.start()
        try:
            yield port
        finally:
            server.stop(0).wait()
            self._onward.close()

    # What a hostile one does otherwise.

    def method(self, method: str) -> str:
        return method

    def head(self, method: str, head: Metadata) -> Metadata:
        return head

    def requests(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        return records

    def answers(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        return records

    def trailers(self, method: str, trailers: Metadata) -> Metadata:
        return trailers

    # How it forwards.

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        head = [
            (key, value)
            for key, value in handler_call_details.invocation_metadata or ()
            if not key.startswith(("user-agent", "grpc-"))
        ]

        def forward(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            self.heads.append((method, head))
            onward = self.call(method, self.head(method, head), self.requests(method, self._keep(method, messages)))
            context.add_callback(onward.cancel)
            try:
                yield from self.answers(method, onward)
                context.set_trailing_metadata(tuple(self.trailers(method, tuple(onward.trailing_metadata() or ()))))
            except grpc.RpcError as error:
                context.set_trailing_metadata(tuple(self.trailers(method, tuple(error.trailing_metadata() or ()))))
                context.abort(error.code(), error.details() or "")

        return grpc.stream_stream_rpc_method_handler(forward)

    def call(self, method: str, head: Metadata, records: Iterator[bytes]) -> Any:
        """One call of the aggregator."""
        return self._onward.stream_stream(self.method(method), bytes, bytes)(records, metadata=head, timeout=60)

    def _keep(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        for message in messages:
            self.seen.setdefault(method, []).append(message)
            yield message


def _certificates() -> tuple[bytes, bytes, bytes]:
    """The hospital's CA, and certificate and key with which its proxy answers for `localhost`; PEM."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hospital proxy CA")])
    now = datetime.now(UTC)

    def made(subject: x509.Name, public: ec.EllipticCurvePublicKey, *more: x509.ExtensionType) -> bytes:
        builder = x509.CertificateBuilder(name, subject, public, x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        for extension in more:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM)

    identifier = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    leaf = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    return (
        made(name, authority.public_key(), x509.BasicConstraints(ca=True, path_length=None), identifier),
        made(leaf, key.public_key(), x509.SubjectAlternativeName([x509.DNSName("localhost")]), issued_by),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )

"""What is signed on a one-way line: the head of a call, each message of it, and how it ended. Opens no line.

A call begins with its head, in the metadata: the caller's certificate, a number never used before, and a signature of
the certificate's key over both, the study and the method. That is what mutual TLS would have asked for. Each message is
then a record: a kind (1 byte), an Ed25519 signature (64) and the message. The signature is by the sender's identity key
over the digest of the head, the place of the record in its direction, its kind and the SHA-256 of the message. So a
record fits one place of one call of one silo in one study; that nothing is missing at the end, the last record says
(kind LAST or END of a request, the signed STATUS of an answer).
"""

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from privacy.channel import envelope
from privacy.channel.certificate import UNREADABLE
from privacy.channel.envelope import Signed
from privacy.channel.status import Told
from privacy.digest import integer, protocol_hash
from privacy.errors import IdentityError, ProtocolError, Unreachable
from privacy.signer import Signer

HEAD_KEY: Final = "collegium-call-bin"
"""Metadata with the head of a call."""
STATUS_KEY: Final = "collegium-status-bin"
"""Trailing metadata with the signed status of a call."""
BEGIN: Final = "/collegium.v1.OneWay/Begin"
"""The method that a line begins with: it tells what the heads of calls have to show to be fresh."""
FRESH_BYTES: Final = 32
MAX_HEAD_BYTES: Final = 4096
MAX_STATUS_BYTES: Final = 4096
OVERHEAD_BYTES: Final = 65
"""What a record is longer than its message."""
CODE_ALTERED: Final = "one_way.altered"
CODE_STALE: Final = "one_way.stale"
_NUMBER_BYTES = 8
_HEAD, _REQUEST, _ANSWER = "one-way-head", "one-way-request", "one-way-answer"


class Kind(IntEnum):
    """What a record is.

    A message with more to come; the last message, with which a plain request ends; the end of a stream, without a
    message; how a call ended, in trailing metadata, with which an answer ends.
    """

    MESSAGE = 0
    LAST = 1
    END = 2
    STATUS = 3


@dataclass(frozen=True)
class Head:
    """The head of a call, not verified: see `check_proof`.

    Attributes:
        fresh: what the aggregator drew when it started, 32 bytes; in a `BEGIN`, what the silo drew.
        number: of the call, from 1; 0 in a `BEGIN`.
        certificate: the caller's.
        proof: ECDSA by the certificate's key.
    """

    fresh: bytes
    number: int
    certificate: x509.Certificate
    proof: bytes

    def encode(self) -> bytes:
        """The bytes of the metadata."""
        fixed = self.fresh + self.number.to_bytes(_NUMBER_BYTES, "big") + bytes([len(self.proof)])
        return fixed + self.proof + self.certificate.public_bytes(Encoding.DER)


def make_head(
    study: bytes, method: str, fresh: bytes, number: int, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> bytes:
    """The head of a call of `method` in the study of this digest, signed by the certificate's key."""
    proof = key.sign(_to_prove(study, method, fresh, number, certificate), ec.ECDSA(hashes.SHA256()))
    return Head(fresh, number, certificate, proof).encode()


def read_head(data: bytes) -> Head:
    """Read a head; nothing is verified.

    Raises:
        IdentityError: there is none.
        ProtocolError: it is malformed.
    """
    if not data:
        raise IdentityError(
            "only one-way lines end at this port; dial the aggregator's other port, or set one_way_tls in silo.yaml",
            code="one_way.port",
        )
    number_at, proof_at = FRESH_BYTES, FRESH_BYTES + _NUMBER_BYTES + 1
    if not proof_at < len(data) <= MAX_HEAD_BYTES:
        raise _malformed()
    rest = proof_at + data[proof_at - 1]
    try:
        certificate = x509.load_der_x509_certificate(data[rest:])
    except UNREADABLE as error:
        raise _malformed() from error
    number = int.from_bytes(data[number_at : proof_at - 1], "big")
    return Head(data[:FRESH_BYTES], number, certificate, data[proof_at:rest])


def check_proof(head: Head, study: bytes, method: str) -> None:
    """Check that whoever made the head holds the certificate's key, and made it for this study and method.

    Raises:
        IdentityError: it does not, or did not.
    """
    key = head.certificate.public_key()
    try:
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise InvalidSignature
        signed = _to_prove(study, method, head.fresh, head.number, head.certificate)
        key.verify(head.proof, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise IdentityError(
            "the head of a call is not signed by the key of its certificate, or is of another study or method",
            code="identity.bad_signature",
        ) from error


@dataclass(frozen=True)
class Call:
    """One call by the digest of its head: seals and opens the records of either direction."""

    digest: bytes

    @classmethod
    def of(cls, study: bytes, method: str, head: bytes) -> "Call":
        """The call with the head of these bytes."""
        return cls(protocol_hash("one-way-call", study, method.encode(), head))

    def seal_request(self, place: int, kind: Kind, message: bytes, key: Signer) -> bytes:
        """The record of the silo's message number `place`, from 0."""
        return self._seal(_REQUEST, place, kind, message, key)

    def seal_answer(self, place: int, kind: Kind, message: bytes, key: Signer) -> bytes:
        """The record of the aggregator's message number `place`, from 0."""
        return self._seal(_ANSWER, place, kind, message, key)

    def open_request(self, place: int, record: bytes, key: bytes) -> tuple[Kind, bytes]:
        """What the holder of an identity key (32 bytes) sent as message number `place`.

        Raises:
            Unreachable: `one_way.altered`: not what it sent there in this call.
        """
        return self._open(_REQUEST, place, record, key)

    def open_answer(self, place: int, record: bytes, key: bytes) -> tuple[Kind, bytes]:
        """As `open_request`, for what the aggregator answered."""
        return self._open(_ANSWER, place, record, key)

    def _seal(self, direction: str, place: int, kind: Kind, message: bytes, key: Signer) -> bytes:
        signature = envelope.sign(direction, self._body(place, kind, message), "", key).signature
        return bytes([kind]) + signature + message

    def _open(self, direction: str, place: int, record: bytes, key: bytes) -> tuple[Kind, bytes]:
        try:
            kind, message = Kind(record[0]), record[OVERHEAD_BYTES:]
            signed = Signed(direction, self._body(place, kind, message), "", record[1:OVERHEAD_BYTES])
            envelope.verify(signed, key, direction)
        except (IndexError, ValueError, IdentityError) as error:
            raise altered() from error
        return kind, message

    def _body(self, place: int, kind: Kind, message: bytes) -> bytes:
        return self.digest + integer(place) + bytes([kind]) + hashlib.sha256(message).digest()


def status_bytes(outcome: Told) -> bytes:
    """How a call ended, as the message of a STATUS record."""
    return "\0".join((outcome.status.name, outcome.kind, outcome.code, outcome.text)).encode()


def read_status(message: bytes) -> Told:
    """Read the message of a STATUS record, which was verified.

    Raises:
        ProtocolError: it is none.
    """
    parts = message[:MAX_STATUS_BYTES].decode("utf-8", "replace").split("\0", 3)
    if len(parts) != 4 or parts[0] not in grpc.StatusCode.__members__:
        raise ProtocolError("the status of a call is malformed; upgrade the aggregator", code="protocol.malformed")
    return Told(grpc.StatusCode[parts[0]], parts[3], parts[1], parts[2])


def fresh_text(fresh: bytes, highest: int) -> str:
    """What a `BEGIN` is answered with, in the text of its status."""
    return (fresh + highest.to_bytes(_NUMBER_BYTES, "big")).hex()


def read_fresh(text: str) -> tuple[bytes, int]:
    """What is fresh at the aggregator, and the highest number that was used there.

    Raises:
        ProtocolError: malformed.
    """
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != FRESH_BYTES + _NUMBER_BYTES:
        raise ProtocolError("a line began with a malformed answer; upgrade the aggregator", code="protocol.malformed")
    return data[:FRESH_BYTES], int.from_bytes(data[FRESH_BYTES:], "big")


def altered() -> Unreachable:
    """The error for a record that is not what was sent in its place: as a line that broke, a call may be made again."""
    return Unreachable(
        "a message was altered, left out or moved on its way; ask who runs the proxy that opens TLS", code=CODE_ALTERED
    )


def _to_prove(study: bytes, method: str, fresh: bytes, number: int, certificate: x509.Certificate) -> bytes:
    der = certificate.public_bytes(Encoding.DER)
    return envelope.context(_HEAD) + protocol_hash(_HEAD, study, method.encode(), fresh, integer(number), der)


def _malformed() -> ProtocolError:
    return ProtocolError("the head of a call is malformed; upgrade the caller", code="protocol.malformed")

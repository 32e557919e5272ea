"""The signed-bytes envelope: Ed25519 over exactly the bytes that travel, under a named kind.

Every protocol message is `Signed` (protocol.md section 3): the receiver verifies first and parses
only the returned body, which is never encoded again. `signer` tells the receiver which key to look
up in the roster; it is covered by the choice of that key alone, so it is never an identity by itself.
"""

import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privacy.errors import IdentityError
from privacy.signer import Signer

_KIND = re.compile(r"[a-z][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class Signed:
    """`body` of one `kind` with the 64-byte Ed25519 `signature` of the roster member `signer`."""

    kind: str
    body: bytes
    signer: str
    signature: bytes


def sign(kind: str, body: bytes, signer: str, key: Signer) -> Signed:
    """Sign `collegium/v1/<kind> 0x00 body` with the identity key of `signer`.

    Raises:
        ValueError: `kind` is not a lower-case word (two kinds must never share a prefix and its zero byte).
    """
    return Signed(kind, body, signer, key.sign(context(kind) + body))


def verify(signed: Signed, public_key: bytes, kind: str) -> bytes:
    """The body, once its signature under `public_key` (32 raw bytes) is verified for this `kind`.

    Raises:
        IdentityError: another kind, or a signature that this key did not make over these bytes.
    """
    if signed.kind != kind:
        raise IdentityError(
            f"a message of another kind came where '{kind}' was expected; the sender must be upgraded or removed",
            code="identity.wrong_kind",
        )
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signed.signature, context(kind) + signed.body)
    except (InvalidSignature, ValueError) as error:
        raise IdentityError(
            f"the signature of this '{kind}' is not that of the member on the roster; stop and ask the consortium",
            code="identity.bad_signature",
        ) from error
    return signed.body


def context(kind: str) -> bytes:
    """The bytes before a signed body: `collegium/v1/<kind>` and a zero byte.

    Raises:
        ValueError: `kind` is not a lower-case word.
    """
    if not _KIND.fullmatch(kind):
        raise ValueError("a kind is a lower-case word")
    return b"collegium/v1/" + kind.encode("ascii") + b"\x00"

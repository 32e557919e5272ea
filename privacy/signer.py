"""The port of a signing key: what signs for a party, wherever the key lies.

A key out of a file (`cryptography`'s `Ed25519PrivateKey`) fits as it is, and so does one that never leaves its token
(`privacy.token`). Whoever takes a `Signer` can sign and name the public key, and cannot export anything.
"""

from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Signer(Protocol):
    """Signs with one Ed25519 key (RFC 8032, PureEdDSA)."""

    def sign(self, data: bytes, /) -> bytes:
        """The 64-byte signature over `data`.

        Raises:
            IdentityError: the key is in a token that refuses, or is not there.
        """

    def public_key(self) -> Ed25519PublicKey:
        """The public half; known without asking a token."""

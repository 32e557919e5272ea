"""The two kinds of keys in a token, in the form in which the rest of the program takes keys out of files."""

from typing import NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privacy.errors import IdentityError
from privacy.token.description import KeyReference
from privacy.token.session import Token, public_of


class TokenSigner:
    """An Ed25519 key in a token; a `privacy.signer.Signer`.

    Raises:
        IdentityError: the reference is not that of an Ed25519 key.
    """

    def __init__(self, token: Token, reference: KeyReference) -> None:
        public = public_of(reference)
        if not isinstance(public, Ed25519PublicKey):
            raise _other_kind(reference)
        self.token, self.reference, self._public = token, reference, public

    @classmethod
    def generate(cls, token: Token, use: str) -> "TokenSigner":
        """A new key, made in the token; as `Token.generate`."""
        return cls(token, token.generate("ed25519", use))

    def sign(self, data: bytes, /) -> bytes:
        """As `Token.sign`."""
        return self.token.sign(self.reference, data)

    def public_key(self) -> Ed25519PublicKey:
        """The public half, of the reference."""
        return self._public

    def destroy(self) -> None:
        """As `Token.destroy`."""
        self.token.destroy(self.reference)


class TokenCertificateKey(ec.EllipticCurvePrivateKey):
    """An EC P-256 key in a token, which signs certificates, certificate requests and handshakes, and nothing else.

    It is an `EllipticCurvePrivateKey` because the builders of `cryptography.x509` take no less; what would export it,
    or use it otherwise, is a RuntimeError.

    Raises:
        IdentityError: the reference is not that of a P-256 key.
    """

    def __init__(self, token: Token, reference: KeyReference) -> None:
        public = public_of(reference)
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise _other_kind(reference)
        self.token, self.reference, self._public = token, reference, public

    @classmethod
    def generate(cls, token: Token, use: str) -> "TokenCertificateKey":
        """A new key, made in the token; as `Token.generate`."""
        return cls(token, token.generate("p256", use))

    def sign(self, data: bytes, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:  # type: ignore[override]
        """ECDSA with SHA-256 in DER, as `Token.sign`."""
        if not isinstance(signature_algorithm, ec.ECDSA) or not isinstance(
            signature_algorithm.algorithm, hashes.SHA256
        ):
            raise RuntimeError("this key signs with ECDSA and SHA-256 alone")
        return self.token.sign(self.reference, bytes(data))

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half, of the reference."""
        return self._public

    def destroy(self) -> None:
        """As `Token.destroy`."""
        self.token.destroy(self.reference)

    @property
    def curve(self) -> ec.EllipticCurve:
        """P-256."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """256 bits."""
        return self._public.key_size

    def exchange(self, *_: object) -> NoReturn:
        """Not what this key is for."""
        raise RuntimeError("a key in a token signs, and does nothing else")

    def private_numbers(self) -> NoReturn:
        """They never leave the token."""
        raise RuntimeError("a key in a token cannot be exported")

    def private_bytes(self, *_: object, **__: object) -> NoReturn:
        """They never leave the token."""
        raise RuntimeError("a key in a token cannot be exported")

    def __copy__(self) -> "TokenCertificateKey":
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> "TokenCertificateKey":
        return self


def take_back(*keys: object) -> None:
    """Destroy those of the keys that were made in a token, when nothing came of them. Raises IdentityError."""
    for key in keys:
        if isinstance(key, TokenSigner | TokenCertificateKey):
            key.destroy()


def prove(*keys: object) -> None:
    """See that the keys that are in a token are there, are ours and cannot be taken out. Raises IdentityError."""
    for key in keys:
        if isinstance(key, TokenSigner | TokenCertificateKey):
            key.token.prove(key.reference)


def _other_kind(reference: KeyReference) -> IdentityError:
    return IdentityError(
        f"the key '{reference.label}' is of another kind than its file is for; restore it from your backup",
        code="identity.damaged_key",
    )

"""The file of one private key: plain, under a passphrase, or in its place the name of a key in a token.

All three are 0600 and refused when others may read them, as which token a key is in concerns nobody either. Plain and
encrypted keys are PKCS 8 in PEM; the encryption is PBES2 with AES-256 (RFC 8018), as `cryptography` chooses it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from privacy.channel.files import Secret, read_secret
from privacy.errors import IdentityError
from privacy.signer import Signer
from privacy.token.description import KeyReference, TokenDescription
from privacy.token.keys import TokenCertificateKey, TokenSigner
from privacy.token.session import Token, token_of

Passphrase = Callable[[], str]
"""Asked only when a key is encrypted."""
PrivateKey = Signer | ec.EllipticCurvePrivateKey

_PEM: Final = b"-----BEGIN "
_ENCRYPTED: Final = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


def signing_key(
    path: Path, passphrase: Passphrase | None = None, folder: Path | None = None, kind: Secret = Secret.KEY
) -> Signer:
    """Read an Ed25519 private key that only its owner may read.

    Args:
        path: the file.
        passphrase: gives the passphrase of an encrypted one.
        folder: where `pkcs11.yaml` is, for a key in a token; that of the file when left out.
        kind: whose key it is, for what a refusal advises.

    Raises:
        IdentityError: missing, readable by others, damaged, of another kind, or the passphrase does not open it.
        ConfigError: the key is in a token, and `pkcs11.yaml` is missing or does not fit.
    """
    data = read_secret(path, kind)
    if not data.startswith(_PEM):
        return TokenSigner(*_in_token(path, data, folder))
    key = _opened(path, data, passphrase)
    if not isinstance(key, Ed25519PrivateKey):
        raise _damaged(path)
    return key


def certificate_key(
    path: Path, passphrase: Passphrase | None = None, folder: Path | None = None, kind: Secret = Secret.KEY
) -> ec.EllipticCurvePrivateKey:
    """Read an EC private key that only its owner may read; as `signing_key`."""
    data = read_secret(path, kind)
    if not data.startswith(_PEM):
        return TokenCertificateKey(*_in_token(path, data, folder))
    key = _opened(path, data, passphrase)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _damaged(path)
    return key


def content(key: PrivateKey, passphrase: str | None = None) -> bytes:
    """What the file of a key holds; secret unless the key is in a token."""
    if isinstance(key, TokenSigner | TokenCertificateKey):
        return key.reference.dump()
    return private_pem(key, NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.encode()))


def private_pem(key: PrivateKey, encryption: KeySerializationEncryption | None = None) -> bytes:
    """A private key as PKCS 8 in PEM, unencrypted when nothing else is said; secret."""
    if not isinstance(key, Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
        raise RuntimeError("a key that cannot be exported is not written to a file")
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def reference_in(path: Path) -> KeyReference | None:
    """Where in a token the key of a file is; None for a key that the file itself holds.

    Raises:
        IdentityError: missing, readable by others or damaged.
    """
    data = read_secret(path)
    return None if data.startswith(_PEM) else KeyReference.read(data, path.name)


def _in_token(path: Path, data: bytes, folder: Path | None) -> tuple[Token, KeyReference]:
    reference = KeyReference.read(data, path.name)
    return token_of(TokenDescription.within(folder or path.parent)), reference


def _opened(path: Path, data: bytes, passphrase: Passphrase | None) -> object:
    if not data.startswith(_ENCRYPTED):
        passphrase = None
    elif passphrase is None:
        raise IdentityError(
            f"{path.name} is under a passphrase, and nobody is there to give it; a silo and an aggregator have keys "
            "that need none",
            code="identity.passphrase",
        )
    try:
        return load_pem_private_key(data, None if passphrase is None else passphrase().encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if passphrase is not None:
            raise IdentityError(
                f"the passphrase does not open {path.name}, or the file is damaged; try again, or restore it from your "
                "backup",
                code="identity.passphrase",
            ) from error
        raise _damaged(path) from error


def _damaged(path: Path) -> IdentityError:
    return IdentityError(f"{path.name} is damaged; restore it from your backup", code="identity.damaged_key")

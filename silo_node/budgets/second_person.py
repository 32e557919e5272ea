"""The key of the second person who consents to a higher cap: an Ed25519 key in a file that a passphrase protects.

It is made and kept by a person other than the one who runs the silo, outside of the state directory. silo.yaml names it
by its fingerprint. Losing it lowers nothing: caps stay as they are until silo.yaml names another key.
"""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from privacy.channel.files import Secret, read_secret, write_secret
from privacy.channel.passphrase import check_new
from privacy.errors import IdentityError
from privacy.roster import fingerprint


def make(path: Path, passphrase: str) -> str:
    """Make a key, write it encrypted to a new file and give its fingerprint.

    Raises:
        ConfigError: the passphrase is too short.
        StorageError: there is such a file already, or the disk refused.
    """
    check_new(passphrase)
    key = Ed25519PrivateKey.generate()
    encryption = BestAvailableEncryption(passphrase.encode())
    write_secret(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return fingerprint_of(key)


def load(path: Path, passphrase: str) -> Ed25519PrivateKey:
    """Read a key.

    Raises:
        IdentityError: missing, readable by others, of another kind, or the passphrase does not open it.
    """
    try:
        key = load_pem_private_key(read_secret(path, Secret.OWN_KEY), passphrase.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError(
            f"{path.name} is no key of a second person, or this is not its passphrase", code="budget.second_key"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise IdentityError(f"{path.name} is no key of a second person", code="budget.second_key")
    return key


def fingerprint_of(key: Ed25519PrivateKey) -> str:
    """What silo.yaml calls the key."""
    return fingerprint(key.public_key().public_bytes_raw())

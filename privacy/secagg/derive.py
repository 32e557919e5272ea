"""Keys from secrets: HKDF-SHA256 (RFC 5869) with a label for each use, and K(label) of an epoch's group secret.

A derived key has 32 bytes and one purpose. `info` is the label in ASCII followed by integers of 8 bytes each, so
that two uses of one secret never meet as long as no label is another one's beginning.
"""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from privacy.digest import integer

KEY_BYTES = 32


def derive(secret: bytes, salt: bytes, label: str, *numbers: int) -> bytes:
    """HKDF-SHA256(secret, salt, info = label || n as 8 bytes each), 32 bytes.

    Raises:
        ValueError: the secret is shorter than 32 bytes.
    """
    if len(secret) < KEY_BYTES:
        raise ValueError("keys are derived from secrets of at least 32 bytes")
    info = label.encode("ascii") + b"".join(map(integer, numbers))
    return HKDF(hashes.SHA256(), KEY_BYTES, salt, info).derive(secret)


def group_key(group_secret: bytes, ctx: bytes, label: str) -> bytes:
    """K(label): the group secret's key for one purpose in one round's context, 32 bytes."""
    return derive(group_secret, ctx, label)

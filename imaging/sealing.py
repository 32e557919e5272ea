"""Files that only the site's key opens: what a silo keeps of images lies on its disk encrypted and authenticated.

The STREAM construction (Hoang, Reyhanitabar, Rogaway & Vizar, CRYPTO 2015) over AES-256-GCM: chunks of 1 MiB under a
key of the file's own, with nonces that count and that mark the last chunk, so that nothing can be altered, exchanged,
taken out, repeated or cut off unseen. Hides neither that a file is there nor its length.
"""

import os
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from imaging.errors import ImagingError

KEY_BYTES: Final = 32
MAGIC: Final = b"collegium-sealed/1\n"
CHUNK: Final = 2**20
MAX_BYTES: Final = 2**33
"""A longer file is refused unread."""

_SALT_BYTES = 32
_TAG_BYTES = 16


def write(path: Path, key: bytes, purpose: bytes, content: bytes | bytearray | memoryview) -> None:
    """Make a new file, mode 0600; flushing it to the disk is the caller's.

    Args:
        path: must not exist.
        key: 32 secret bytes of the site.
        purpose: what the file is and which one; it opens under the same alone.
        content: what is sealed.

    Raises:
        OSError: the disk refused, or the file exists.
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    cipher = AESGCM(_derived(key, salt, purpose))
    view = memoryview(content).cast("B")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(MAGIC + salt)
        for nonce, start in _chunks(len(view)):
            file.write(cipher.encrypt(nonce, view[start : start + CHUNK], MAGIC))


def read(path: Path, key: bytes, purpose: bytes) -> bytearray:
    """The content of a file that `write` made.

    Raises:
        ImagingError: `sealed.unreadable`: it is missing, altered, of another purpose or under another key.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(len(MAGIC) + _SALT_BYTES)
            sealed = size - len(start)
            if size > MAX_BYTES or not start.startswith(MAGIC) or sealed < _TAG_BYTES:
                raise _unreadable()
            cipher = AESGCM(_derived(key, start[len(MAGIC) :], purpose))
            whole, rest = divmod(sealed, CHUNK + _TAG_BYTES)
            if 0 < rest < _TAG_BYTES:
                raise _unreadable()
            length = whole * CHUNK + max(0, rest - _TAG_BYTES)
            content = bytearray(length)
            for nonce, at in _chunks(length):
                opened = cipher.decrypt(nonce, file.read(CHUNK + _TAG_BYTES), MAGIC)
                content[at : at + len(opened)] = opened
            if file.read(1) or len(content) != length:
                raise _unreadable()
    except (OSError, InvalidTag):
        raise _unreadable() from None
    return content


def _chunks(length: int) -> Iterator[tuple[bytes, int]]:
    """Nonce and start of each chunk; at least one, so that an empty file is authenticated too."""
    count = max(1, -(-length // CHUNK))
    for index in range(count):
        yield struct.pack(">3xQ?", index, index == count - 1), index * CHUNK


def _derived(key: bytes, salt: bytes, purpose: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise RuntimeError(f"a sealing key has {KEY_BYTES} bytes")
    return HKDF(SHA256(), KEY_BYTES, salt, b"collegium/v1/sealed/" + purpose).derive(key)


def _unreadable() -> ImagingError:
    return ImagingError("a sealed file is missing, damaged or not of this site", "sealed.unreadable")

"""Key files, other secret files that people name, and the few public files beside them.

A secret is created once, 0600, and refused at reading when anybody else may read it, with the advice that fits what
the file is. A public file is replaced by one rename. How bytes get to the disk is `privacy.durable`'s.
"""

import os
import stat
from enum import Enum
from pathlib import Path

from privacy import durable
from privacy.errors import IdentityError

MAX_BYTES = 1_000_000
"""No file of an identity is larger."""


class Secret(Enum):
    """What a secret file is: its name for people, what to do where it is missing, and where others could read it."""

    KEY = (
        "key file",
        "run 'init', or restore it from your backup",
        "tell the consortium if somebody might have read it",
    )
    CONSORTIUM_KEY = (
        "key file",
        "name the consortium's folder, or restore it from your backup",
        "tell every member by phone if somebody might have read it: who has the key can admit anybody",
    )
    COSIGNING_KEY = (
        "key file",
        "restore it from your backup",
        "remove it if somebody might have read it: another is made, and cosignatures of this one stay valid",
    )
    OWN_KEY = (
        "key file",
        "correct its path, or bring the medium that it is on",
        "make another key if somebody might have read it",
    )
    PASSPHRASE = (
        "passphrase file",
        "correct its path (--passphrase-file, COLLEGIUM_PASSPHRASE_FILE), or write the passphrase into it and run "
        "'chmod 600' on it",
        "see to it that no other user has a copy of what the passphrase opens",
    )
    TOKEN = (
        "file of a one-time token",
        "run 'token' again",
        "run 'token' again if somebody might have read it: that token then admits nobody",
    )
    PROXY = ("file", "write the proxy's address into it", "change the proxy's password if somebody might have read it")

    def __init__(self, what: str, missing: str, exposed: str) -> None:
        self.what, self.missing, self.exposed = what, missing, exposed


def write_secret(path: Path, data: bytes) -> None:
    """Create `path` with mode 0600.

    Raises:
        StorageError: it exists already, or the disk refused; nothing half-written is left.
    """
    durable.create(path, data)


def read_secret(path: Path, kind: Secret = Secret.KEY) -> bytes:
    """Read a file that only its owner may read; `kind` decides what a refusal advises.

    Raises:
        IdentityError: missing, not a plain file, or readable by others.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise IdentityError(
            f"cannot read the {kind.what} {path.name} ({error.strerror}); {kind.missing}",
            code="identity.missing_key",
        ) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise IdentityError(
                f"the {kind.what} {path.name} is no plain file; {kind.missing}", code="identity.missing_key"
            )
        if mode & 0o077:
            raise IdentityError(
                f"other users may read the {kind.what} {path.name}; run 'chmod 600' on it, and {kind.exposed}",
                code="identity.exposed_key",
            )
        return os.read(descriptor, MAX_BYTES)
    finally:
        os.close(descriptor)


def publish(path: Path, data: bytes) -> None:
    """Create or replace the public file `path` by one rename.

    Raises:
        StorageError: the disk refused; the old file, if any, is as it was.
    """
    durable.write(path, data, mode=0o644)

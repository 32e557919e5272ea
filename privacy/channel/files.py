"""Key files and the few public files beside them.

A secret is created once, 0600, and refused at reading when anybody else may read it. A public file is
replaced by one rename. How bytes get to the disk is `privacy.durable`'s.
"""

import os
import stat
from pathlib import Path

from privacy import durable
from privacy.errors import IdentityError

MAX_BYTES = 1_000_000
"""No file of an identity is larger."""


def write_secret(path: Path, data: bytes) -> None:
    """Create `path` with mode 0600.

    Raises:
        StorageError: it exists already, or the disk refused; nothing half-written is left.
    """
    durable.create(path, data)


def read_secret(path: Path) -> bytes:
    """Read a file that only its owner may read.

    Raises:
        IdentityError: missing, not a plain file, or readable by others.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise IdentityError(
            f"cannot read the key file {path.name} ({error.strerror}); run 'init', or restore it from your backup",
            code="identity.missing_key",
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) or mode & 0o077:
            raise IdentityError(
                f"other users may read the key file {path.name}; run 'chmod 600' on it, or join with new keys",
                code="identity.exposed_key",
            )
        return file.read(MAX_BYTES)


def publish(path: Path, data: bytes) -> None:
    """Create or replace the public file `path` by one rename.

    Raises:
        StorageError: the disk refused; the old file, if any, is as it was.
    """
    durable.write(path, data, mode=0o644)

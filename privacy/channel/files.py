"""Key files and the few public files beside them, written whole or not at all.

A secret is created once (O_EXCL), 0600, and refused at reading when anybody else may read it. A
public file is replaced by one rename. Both are on disk, with their folder, when the call returns.
"""

import os
import secrets
import stat
from pathlib import Path

from privacy.errors import IdentityError, StorageError

MAX_BYTES = 1_000_000
"""No file of an identity is larger."""


def write_secret(path: Path, data: bytes) -> None:
    """Create `path` with mode 0600.

    Raises:
        StorageError: it exists already, or the disk refused; nothing half-written is left.
    """
    _create(path, data, 0o600, path.name)
    _sync_folder(path.parent)


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
        StorageError: the disk refused; the file is the old one or the new one, whole.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    _create(temporary, data, 0o644, path.name)
    try:
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _refused(path.name, error) from error
    _sync_folder(path.parent)


def _create(path: Path, data: bytes, mode: int, shown: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except OSError as error:
        raise _refused(shown, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _refused(shown, error) from error


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _refused(folder.name, error) from error


def _refused(shown: str, error: OSError) -> StorageError:
    return StorageError(f"cannot write {shown}: {error.strerror}; free or allow that place and try again")

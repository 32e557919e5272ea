"""Durable writes for the ledger: create, replace, append and cut files so that a crash leaves old or new, never half.

Every function returns only after the bytes are on the disk (fsync). Failures of the disk become
`StorageError`; the caller's file is then what it was before. It knows nothing of what is written.
"""

import errno
import os
from pathlib import Path

from privacy.errors import StorageError

_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW


def create(path: Path, data: bytes) -> None:
    """Write a new file of mode 0600; the caller syncs the folder.

    Raises:
        StorageError: it exists or the disk refuses; no file is left.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
    except OSError as error:
        raise refused(error) from error
    try:
        try:
            _write_all(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise refused(error) from error


def replace(path: Path, data: bytes) -> None:
    """Replace a file by temp, fsync and rename.

    Raises:
        StorageError: the disk refuses; the old file stands.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.unlink(missing_ok=True)
        create(temporary, data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise refused(error) from error


def open_for_append(path: Path) -> int:
    """A descriptor that reads anywhere and writes at the end.

    Raises:
        StorageError: it cannot be opened.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_APPEND | _FLAGS)
    except OSError as error:
        raise refused(error) from error


def append(handle: int, data: bytes) -> None:
    """Write at the end and fsync.

    Raises:
        StorageError: the disk refused; part of `data` may have been written, and the caller cuts it.
    """
    try:
        _write_all(handle, data)
        os.fsync(handle)
    except OSError as error:
        raise refused(error) from error


def cut(handle: int, length: int) -> None:
    """Cut the file to `length` bytes and fsync.

    Raises:
        StorageError: the disk refused.
    """
    try:
        os.ftruncate(handle, length)
        os.fsync(handle)
    except OSError as error:
        raise refused(error) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    Raises:
        StorageError: the disk refuses.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise refused(error) from error


def refused(error: OSError) -> StorageError:
    """The sentence for a person."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(
            "the disk is full: the ledger could not be written and is as it was; free some space and start again",
            code="storage.full",
        )
    return StorageError(
        f"the ledger could not be written ({error.strerror}) and is as it was; check the disk and its permissions"
    )


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]

"""Durable writes that the ledger can take back: append, cut, and a replacement that is not there until it is whole.

`append` returns only after the bytes are on the disk. Unlike `privacy.durable.write`, `replace` has
nothing left to fail once the new file is in place, so that a failed append can be undone; making the new name durable
is a step of its own, `settle`. Nothing here knows what the bytes mean.
"""

import os
from contextlib import suppress
from pathlib import Path

from privacy import durable
from privacy.durable import storage_error


def open_for_append(path: Path) -> int:
    """A descriptor that writes at the end; a link is not followed.

    Raises:
        StorageError: it cannot be opened.
    """
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise storage_error(error) from error


def append(handle: int, data: bytes) -> None:
    """Write at the end and fsync.

    Raises:
        StorageError: the disk refused; part of `data` may have been written, and the caller cuts it.
    """
    try:
        _write_all(handle, data)
        os.fsync(handle)
    except OSError as error:
        raise storage_error(error) from error


def cut(handle: int, length: int) -> None:
    """Cut the file to `length` bytes and fsync.

    Raises:
        StorageError: the disk refused.
    """
    try:
        os.ftruncate(handle, length)
        os.fsync(handle)
    except OSError as error:
        raise storage_error(error) from error


def replace(path: Path, data: bytes) -> None:
    """Replace a file by temp, fsync and rename. Until `settle` the old one may be back after a power cut.

    Raises:
        StorageError: the disk refused; the old file stands.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _write_all(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)
        # Nothing after this may fail: the caller takes back what a head stands for only while the old head stands.
        temporary.rename(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise storage_error(error) from error


def settle(folder: Path) -> None:
    """Make the names in a folder durable.

    Raises:
        StorageError: the disk refused.
    """
    try:
        durable.sync_folder(folder)
    except OSError as error:
        raise storage_error(error) from error


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]

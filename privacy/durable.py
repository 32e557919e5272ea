"""Writing files so that a kill or a power cut leaves the old or the new content, never a part.

Temporary file in the same folder, write, fsync, rename, fsync of the folder. A refused write (disk
full, read-only) removes the temporary file and becomes `StorageError`. `lock` keeps a second
process off a state directory. Nothing here knows what the bytes mean.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from privacy.errors import AlreadyRunning, StorageError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


def write(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Replace or create `path` durably with `data`.

    Raises:
        StorageError: the disk refused; `path` is as it was before.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise storage_error(error) from error


def make_folder(path: Path) -> None:
    """Create a private folder (and its parents) durably; an existing one is left as it is.

    Raises:
        StorageError: the disk refused.
    """
    try:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
            sync_folder(folder.parent)
    except OSError as error:
        raise storage_error(error) from error


def sync_folder(path: Path) -> None:
    """Make renames and new names in a folder durable (POSIX fsync of the directory)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def storage_error(error: OSError) -> StorageError:
    """The typed error for a refused write; names the reason, never the path."""
    return StorageError(
        f"the disk refused a write ({error.strerror}); nothing half-written was kept: free space, then start again"
    )


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a state directory for this process; released by the kernel when the process ends.

    Raises:
        AlreadyRunning: another process holds it.
        StorageError: the lock file cannot be made.
    """
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as error:
        raise storage_error(error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(
                f"another process already uses the state directory '{folder.name}'; stop it first"
            ) from error
        yield
    finally:
        os.close(descriptor)

"""Writing files so that a kill or a power cut leaves the old or the new content, never a part.

Temporary file in the same folder, write, fsync, rename, fsync of the folder. A refused write (disk
full, read-only) removes the temporary file and becomes `StorageError`. `lock` keeps a second
process off a state directory. A lock is its process's alone: a forked child drops its copies of the locks that
`hold` took, so that a child that outlives its parent keeps nobody out. Nothing here knows what the bytes mean.
"""

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from privacy.errors import AlreadyRunning, StorageError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{16}")
"""What `write` calls a file until it is whole."""


def create(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Create `path` durably; a file, or link, that is there already is never touched.

    A stop in between may leave a part of it, which a second `create` then refuses as something that is there.

    Raises:
        StorageError: it exists, or the disk refused; nothing half-written is left.
    """
    _create(path, data, mode, path)
    _settle(path)


def write(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Replace or create `path` durably with `data`.

    Raises:
        StorageError: the disk refused; `path` is as it was before.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    _create(temporary, data, mode, path)
    try:
        temporary.replace(path)
    except OSError as error:
        _discard(temporary)
        raise storage_error(error, path) from error
    _settle(path)


def remove(path: Path) -> None:
    """Remove a file durably, if it is there.

    Raises:
        StorageError: the disk refused.
    """
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error


def destroy(path: Path) -> None:
    """Overwrite a file with zeros and remove it; that it stays away after a power cut is for `sync_folder`.

    Raises:
        StorageError: the disk refused.
    """
    try:
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except OSError as error:
        raise storage_error(error, path) from error


def sync(path: Path) -> None:
    """Make durable what another wrote into a file, and its name.

    Raises:
        StorageError: the disk refused.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise storage_error(error, path) from error
    _settle(path)


def sweep(folder: Path) -> None:
    """Remove what `write` left of files in a folder, if there is one, when it was stopped; only while no other writes.

    Raises:
        StorageError: the disk refused.
    """
    try:
        for path in folder.iterdir() if folder.exists() else ():
            if _UNFINISHED.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                path.unlink()
    except OSError as error:
        raise storage_error(error) from error


def make_folder(path: Path) -> None:
    """Create a private folder (and its parents) durably; an existing one is left as it is.

    Raises:
        StorageError: the disk refused.
    """
    if path.is_dir():
        return
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


def storage_error(error: OSError, path: Path | None = None) -> StorageError:
    """The typed error for a refused write; names the reason and the file, never its folder."""
    what = "a file" if path is None else path.name
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(
            f"cannot write {what}: {error.strerror}; nothing half-written was kept: free some space, then start again",
            code="storage.full",
        )
    return StorageError(
        f"cannot write {what}: {error.strerror}; nothing was changed: check that place and its permissions"
    )


def _create(path: Path, data: bytes, mode: int, named: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except OSError as error:
        raise storage_error(error, named) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        _discard(path)
        raise storage_error(error, named) from error


def _discard(path: Path) -> None:
    """Remove what was begun; where the disk refuses even that, the error that is told stays the first one."""
    with suppress(OSError):
        path.unlink()


def _settle(path: Path) -> None:
    try:
        sync_folder(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error


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
            hold(descriptor)
        except BlockingIOError as error:
            raise AlreadyRunning(
                f"another process already uses the state directory '{folder.name}'; stop it first"
            ) from error
        yield
    finally:
        release(descriptor)


_held: set[int] = set()


def hold(descriptor: int) -> None:
    """Lock an open file for this process alone, without waiting, until `release` or the process's end.

    Raises:
        BlockingIOError: another process holds it.
    """
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _held.add(descriptor)


def release(descriptor: int) -> None:
    """Close a descriptor and give its lock back, if it has one."""
    try:
        if descriptor in _held:
            _held.discard(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child forked this instant may have it open still
    finally:
        os.close(descriptor)


def _drop_in_child() -> None:
    # A lock belongs to the open file that parent and child share, and falls when the last of them closes it.
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_drop_in_child)

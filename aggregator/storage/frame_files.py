"""Ciphertext frames as files named by their SHA-256: written whole before a row names them, removed after none does.

A stop in between leaves a file that no row names; the next start removes it. What a frame belongs to is for
`aggregator.storage.store`.
"""

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from privacy.durable import make_folder, storage_error, write
from privacy.errors import CorruptState, StorageError


class FrameFiles:
    """The frames of one study. Thread-safe.

    Args:
        folder: where they are; made if it is not there.
        named: whether a row names a digest.
    """

    def __init__(self, folder: Path, named: Callable[[bytes], bool]) -> None:
        self._folder, self._named = folder, named
        self._lock = threading.Lock()
        self._coming: Counter[bytes] = Counter()
        make_folder(folder)

    @contextmanager
    def adding(self, frame: bytes, digest: bytes) -> Iterator[None]:
        """Store a frame durably, and keep its file while the caller writes the row that names its digest.

        Raises:
            StorageError: the disk refused.
        """
        with self._lock:
            self._coming[digest] += 1
        try:
            write(self._folder / digest.hex(), frame)
            yield
        finally:
            with self._lock:
                self._coming -= Counter([digest])

    def read(self, digest: bytes, *, checked: bool) -> bytes:
        """A stored frame; `checked` against its digest, unless whoever gets it does that.

        Raises:
            CorruptState: it is not there, or not what was written.
            StorageError: it cannot be read.
        """
        return read(self._folder, digest, checked=checked)

    def remove(self, digests: Collection[bytes]) -> None:
        """Remove files that no row names any more. Raises StorageError."""
        with self._lock:
            for digest in digests:
                if digest not in self._coming and not self._named(digest):
                    _unlink(self._folder / digest.hex())

    def keep_only(self, digests: Collection[bytes]) -> None:
        """Remove all else, and what was being written when a process stopped; only while no other writes.

        Raises:
            StorageError: the disk refused.
        """
        keep_only(self._folder, digests)


def keep_only(folder: Path, digests: Collection[bytes]) -> None:
    """Remove all else from a folder. Raises StorageError."""
    names = {digest.hex() for digest in digests}
    for path in folder.iterdir():
        if path.name not in names:
            _unlink(path)


def read(folder: Path, digest: bytes, *, checked: bool = True) -> bytes:
    """A frame of a folder. Raises as `FrameFiles.read`."""
    try:
        frame = (folder / digest.hex()).read_bytes()
    except FileNotFoundError as error:
        raise _damaged("missing") from error
    except OSError as error:
        raise StorageError(f"a stored ciphertext cannot be read ({error.strerror}); check the disk") from error
    if checked and hashlib.sha256(frame).digest() != digest:
        raise _damaged("not what was written")
    return frame


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error) from error


def _damaged(how: str) -> CorruptState:
    return CorruptState(f"a stored ciphertext is {how}; restore the state directory from a backup", code="state.frame")

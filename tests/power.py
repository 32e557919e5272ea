"""A disk that loses at a power cut what was not synced: bytes of files, and names in folders, each for itself.

Real files of a real file system; what fsync was called for is remembered, and at the cut a folder is made of it that
has nothing else. A system may have written more than it was asked to: `reached` says of each file and name whether the
newest of it is there all the same. That a system keeps what it says it synced is taken for granted.
"""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

MEMORY = next(filter(Path.is_dir, [Path("/dev/shm")]), None)
"""Where such a disk costs least; None where there is no such place."""
Names = dict[str, int]
"""What is in a folder: inodes by name."""


class Cut(BaseException):
    """The power is gone."""


Reached = Callable[[str], bool]
"""Whether the newest of something reached the disk unsynced: "bytes" of a file, or a "name" in a folder."""

EXTREMES: dict[str, Reached] = {
    "only what was synced": lambda what: False,
    "all": lambda what: True,
    "names": lambda what: what == "name",
    "bytes": lambda what: what == "bytes",
}


class Disk:
    """What of a folder would survive.

    Args:
        root: the folder; what is in it now is safe.
        survived: where the cut leaves what is left of it; not there yet.
        at: how many syncs are done before the cut.
        reached: asked for each file and each name.
    """

    def __init__(self, root: Path, survived: Path, at: int, reached: Reached) -> None:
        self.over = False
        self.syncs = 0
        self._survived, self._at, self._reached = survived, at, reached
        self._root = root.resolve()
        self._bytes: dict[int, bytes] = {}
        self._names: dict[int, Names] = {}
        self._open: dict[int, int] = {}  # keeps an inode's number from being given to another file
        self._top = self._hold(root)
        for place in (root, *root.rglob("*")):
            self._keep(self._hold(place))

    def fsync(self, descriptor: int) -> None:
        """What `os.fsync` does; the cut comes in its place."""
        place = _of(descriptor)
        if place.readlink().is_relative_to(self._root):
            self.sync(place)

    def sync(self, *places: Path) -> None:
        """Make what is in files or folders durable, at once."""
        if self.over:
            raise Cut
        if self.syncs == self._at:
            self.cut()
            raise Cut
        self.syncs += 1
        for place in places:
            self._keep(self._hold(place))

    def cut(self) -> None:
        """The power goes: what is left is put where it was asked for."""
        self.over = True
        self._leave(self._top, self._survived)

    def close(self) -> None:
        """Forget everything."""
        for descriptor in self._open.values():
            os.close(descriptor)

    def _hold(self, path: Path) -> int:
        inode = path.stat().st_ino
        if inode not in self._open:
            self._open[inode] = os.open(path, os.O_RDONLY)
        return inode

    def _is_folder(self, inode: int) -> bool:
        return stat.S_ISDIR(os.fstat(self._open[inode]).st_mode)

    def _keep(self, inode: int) -> None:
        if self._is_folder(inode):
            self._names[inode] = self._names_now(inode)
        else:
            self._bytes[inode] = self._bytes_now(inode)

    def _names_now(self, inode: int) -> Names:
        return {path.name: self._hold(path) for path in _of(self._open[inode]).iterdir()}

    def _bytes_now(self, inode: int) -> bytes:
        return os.pread(self._open[inode], os.fstat(self._open[inode]).st_size, 0)

    def _leave(self, inode: int, target: Path) -> None:
        if not self._is_folder(inode):
            target.write_bytes(self._bytes_now(inode) if self._reached("bytes") else self._bytes.get(inode, b""))
            target.chmod(os.fstat(self._open[inode]).st_mode & 0o777)
            return
        target.mkdir(mode=0o700)
        kept, now = self._names.get(inode, {}), self._names_now(inode)
        for name in sorted(kept | now):
            child = (now if self._reached("name") else kept).get(name)
            if child is not None:
                self._leave(child, target / name)


def _of(descriptor: int) -> Path:
    """Leads to what is open, whatever it is called by now, or whether it has a name at all."""
    return Path(f"/proc/self/fd/{descriptor}")


@contextmanager
def cut(root: Path, survived: Path, at: int, reached: Reached) -> Iterator[Disk]:
    """What is done in the context is done on a `Disk`, and ends with the cut, or is followed by it."""
    disk = Disk(root, survived, at, reached)
    try:
        with pytest.MonkeyPatch.context() as patch, suppress(Cut):
            patch.setattr(os, "fsync", disk.fsync)
            yield disk
            if not disk.over:
                disk.cut()
    finally:
        disk.close()


def at_every_instant(play: Callable[[int], int]) -> int:
    """Play a history that cuts the power after so many syncs and gives how many there were: at the end, then at each.

    Gives how many there are.
    """
    syncs = play(sys.maxsize)
    for at in range(syncs):
        try:
            play(at)
        except BaseException as error:
            error.add_note(f"the power was cut after {at} of {syncs} syncs")
            raise
    return syncs

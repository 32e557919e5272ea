"""Reads files of folders that others hand in: regular files alone, so that nothing that lies there keeps us waiting.

A pipe without a writer is never opened for reading, a device may have no end, a socket is no file. Links are not
followed either: folders that are handed in (releases, reports, ledgers, backups) have none. What is refused is an
`OSError` as for any file that cannot be read; every reader makes its own sentence of it. Files that the hospital names
itself, which may be links and pipes, are not read by this.
"""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

REFUSED = "it is a link, a pipe, a socket or a device, and no regular file"


class NotRegularError(OSError):
    """Something else than a regular file has the name of one."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, REFUSED)


def opened(path: Path, buffering: int = -1) -> BinaryIO:
    """A regular file, open for reading; the caller closes it.

    Raises:
        NotRegularError: it is none.
        OSError: it cannot be opened.
    """
    if not stat.S_ISREG(path.lstat().st_mode):  # first, as to open some devices does something
        raise NotRegularError
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotRegularError
        return os.fdopen(descriptor, "rb", buffering)
    except BaseException:
        os.close(descriptor)
        raise


def read(path: Path, limit: int | None = None) -> bytes:
    """All of a regular file, or its first `limit` bytes. Raises OSError, as `opened`."""
    with opened(path) as file:
        return file.read(-1 if limit is None else limit)


def only(folder: Path, refused: Callable[[str], Exception]) -> None:
    """Look that there are but folders and regular files below a folder, for readers that open files by themselves.

    Raises:
        What `refused` makes of the path, below the folder, of anything else.
        OSError: a folder cannot be read.
    """

    def unread(error: OSError) -> None:
        raise error

    for root, folders, files in os.walk(folder, onerror=unread):
        for name in (*folders, *files):
            path = Path(root, name)
            mode = path.lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise refused(path.relative_to(folder).as_posix())

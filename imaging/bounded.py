"""Reads a whole file that may be too large, in no more memory than it has bytes or the limit allows.

`file.read(limit)` would reserve the limit for the smallest file. A pipe, a socket or a device is never waited for.
"""

import errno
import os
import stat
from pathlib import Path


def read(path: Path, limit: int) -> bytes:
    """The bytes of a file, or its first `limit + 1` if it is longer: whoever gets so many refuses it.

    What is added while it is read is left out. Raises OSError, also where it is no regular file or a link to one.
    """
    with open(path, "rb", opener=_at_once) as file:  # Path.open has no opener
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, and no regular file")
        return file.read(min(status.st_size, limit) + 1)


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)

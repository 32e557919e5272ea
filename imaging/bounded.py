"""Reads a whole file that may be too large, in no more memory than it has bytes or the limit allows.

`file.read(limit)` would reserve the limit for the smallest file.
"""

import os
from pathlib import Path


def read(path: Path, limit: int) -> bytes:
    """The bytes of a file, or its first `limit + 1` if it is longer: whoever gets so many refuses it.

    What is added while it is read is left out. Raises OSError.
    """
    with path.open("rb") as file:
        return file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)

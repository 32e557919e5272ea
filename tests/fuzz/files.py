"""Bytes as a file or in a folder: what reads one, put on them, and seeds out of files that were made."""

import json
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path


def in_file(read: Callable[[Path], object], name: str, data: bytes) -> object:
    """What reads a file, on one with these bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return read(path)


def json_seed(*told: object) -> Callable[[], Iterator[bytes]]:
    """Some JSON."""
    return lambda: (json.dumps(one).encode() for one in told)


def placed(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """What reads a folder, on one in which a file has these bytes."""

    def parse(data: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return read(Path(folder))

    return parse


def file_of(name: str, make: Callable[[Path], object]) -> Callable[[], Iterator[bytes]]:
    """What a file has in a folder that was made so."""

    @cache
    def content() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
            return (Path(folder) / name).read_bytes()

    return lambda: iter([content()])

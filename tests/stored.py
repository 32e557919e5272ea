"""What an aggregator has stored of a study, by name, read beside the running program.

Names are like `keys/request-1`, `snapshot/offer-2`, `snapshot/sum/frame-0`, `rounds/000001/close-3`,
`rounds/000001/set-shared`, `rounds/000001/arriving-2/frame-0`, `rounds/000001/upload-2/seeds`,
`rounds/000001/survivors`.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path

from aggregator.storage.schema import KEYS, SNAPSHOT
from aggregator.storage.store import DATABASE, FRAMES


def content(study: Path) -> dict[str, bytes | str]:
    """All that is stored in a study's folder: messages, headers, seeds and frames, and sets as they are written."""
    found = _found(study).items()
    return {name: value.read_bytes() if isinstance(value, Path) else value for name, value in found}


def names(study: Path, pattern: str = "*") -> list[str]:
    """Names that match; `*` stands for anything, also for `/`."""
    return sorted(name for name in _found(study) if fnmatchcase(name, pattern))


def anywhere(state: Path, pattern: str) -> list[str]:
    """Names in all studies of an aggregator's state directory that match."""
    return [name for study in sorted((state / "studies").glob("*")) for name in names(study, pattern)]


def _found(study: Path) -> dict[str, bytes | str | Path]:
    if not (study / DATABASE).exists():
        return {}
    with closing(sqlite3.connect(f"file:{study / DATABASE}?mode=ro", uri=True)) as database:
        try:
            return dict(_all(database, study / FRAMES))
        except sqlite3.OperationalError:  # it is just being made
            return {}


def _all(database: sqlite3.Connection, frames: Path) -> Iterator[tuple[str, bytes | str | Path]]:
    database.execute("BEGIN")
    for place, kind, silo, signed in database.execute("SELECT place, kind, silo, signed FROM message"):
        yield f"{_folder(place)}/{kind}" + (f"-{silo}" if silo else ""), signed
    for place, name, members in database.execute("SELECT place, name, members FROM frozen_set"):
        yield f"{_folder(place)}/set-{name}", members
    uploads = {}
    for place, silo, complete, header, seeds in database.execute(
        "SELECT place, silo, complete, header, seeds FROM upload"
    ):
        uploads[place, silo] = f"{_folder(place)}/{'upload' if complete else 'arriving'}-{silo}"
        yield f"{uploads[place, silo]}/header", header
        if seeds is not None:
            yield f"{uploads[place, silo]}/seeds", seeds
    for place, silo, number, digest in database.execute("SELECT place, silo, number, sha256 FROM upload_frame"):
        yield f"{uploads[place, silo]}/frame-{number}", frames / digest.hex()
    for place, number, digest in database.execute("SELECT place, number, sha256 FROM sum_frame"):
        yield f"{_folder(place)}/sum/frame-{number}", frames / digest.hex()


def _folder(place: int) -> str:
    return {KEYS: "keys", SNAPSHOT: "snapshot"}.get(place, f"rounds/{place:06d}")

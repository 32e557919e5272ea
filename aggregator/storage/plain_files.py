"""Brings a study's state of format 1, a plain file for each message and frame, into its database.

    keys/request-<silo>, grant-<receiver>
    snapshot/request-<silo>, offer-<giver>, sum/frame-<i>
    rounds/<r>/{arriving,upload}-<silo>/{header,seeds,frame-<i>}
    rounds/<r>/{advertise,shares,sign,reject,unmask,close,unopenable}-<silo>, sum/frame-<i>, survivors, abandon
    rounds/<r>/set-{advertised,shared,unmasked}

The database is made under another name and gets its own by one rename; until then nothing of format 1 is touched, so
that a stop at any point leaves either format whole. Frames are linked, not copied: they take no more room than before.
"""

import hashlib
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from aggregator.storage.database import Database
from aggregator.storage.schema import KEYS, SNAPSHOT, STEPS
from privacy.durable import make_folder, storage_error, sync_folder
from privacy.errors import CorruptState

OLD = ("keys", "snapshot", "rounds")
_NAME = re.compile(r"([a-z]+)(?:-([0-9]+))?")
_SETS = {f"set-{name}": name for name in ("advertised", "shared", "unmasked")}
_UPLOADS = {"upload": 1, "arriving": 0}


def bring_forward(folder: Path, database: Path, frames: Path) -> None:
    """Make the database and the frames out of what a study's folder has in format 1, if anything, and remove that.

    Only while no other writes.

    Raises:
        CorruptState: there is something that format 1 does not have.
        StorageError: the disk refuses; format 1 is there as before.
    """
    old = [folder / name for name in OLD if (folder / name).is_dir()]
    try:
        if old and not database.exists():
            make_folder(frames)
            new = database.with_name(f".{database.name}.new")
            for left in folder.glob(f"{new.name}*"):
                left.unlink()
            _fill(new, old, frames)
            new.rename(database)
            sync_folder(folder)
        for part in old:
            shutil.rmtree(part)
    except OSError as error:
        raise storage_error(error) from error


def _fill(new: Path, old: list[Path], frames: Path) -> None:
    database = Database(new, STEPS)
    try:
        with database.writing() as to:
            for place, part in _places(old):
                _take_place(to, place, part, frames)
            sync_folder(frames)
    finally:
        database.close()  # which leaves one file, without a log


def _places(old: list[Path]) -> Iterator[tuple[int, Path]]:
    for part in old:
        if part.name != "rounds":
            yield {"keys": KEYS, "snapshot": SNAPSHOT}[part.name], part
            continue
        for one in _whole(part):
            if not one.name.isdecimal():
                raise _foreign(one)
            yield int(one.name), one


def _take_place(to: sqlite3.Connection, place: int, part: Path, frames: Path) -> None:
    for path in _whole(part):
        if path.name in _SETS:
            to.execute("INSERT INTO frozen_set VALUES (?, ?, ?)", (place, _SETS[path.name], path.read_text()))
            continue
        kind, silo = _split(path)
        if kind == "sum" and path.is_dir():
            rows = [(place, number, digest) for number, digest in _link(path, frames)]
            to.executemany("INSERT INTO sum_frame VALUES (?, ?, ?)", rows)
        elif kind in _UPLOADS and path.is_dir():
            _take_upload(to, (place, silo), _UPLOADS[kind], path, frames)
        elif not path.is_file():
            raise _foreign(path)
        else:
            to.execute("INSERT INTO message VALUES (?, ?, ?, ?)", (place, kind, silo, path.read_bytes()))


def _take_upload(to: sqlite3.Connection, at: tuple[int, int], complete: int, path: Path, frames: Path) -> None:
    header, seeds = path / "header", path / "seeds"
    if not header.exists():  # nothing arrived yet
        return
    row = (*at, header.read_bytes(), seeds.read_bytes() if seeds.exists() else None, complete)
    to.execute("INSERT INTO upload VALUES (?, ?, ?, ?, ?)", row)
    rows = [(*at, number, digest) for number, digest in _link(path, frames)]
    to.executemany("INSERT INTO upload_frame VALUES (?, ?, ?, ?)", rows)


def _link(part: Path, frames: Path) -> Iterator[tuple[int, bytes]]:
    """Frames' numbers and digests, each linked under its new name."""
    for path in _whole(part):
        kind, number = _split(path)
        if kind == "frame":
            digest = hashlib.sha256(path.read_bytes()).digest()
            target = frames / digest.hex()
            if not target.exists():
                os.link(path, target)
            yield number, digest
        elif path.name not in ("header", "seeds"):
            raise _foreign(path)


def _whole(folder: Path) -> list[Path]:
    """What is in a folder but for what was being written when a process stopped."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _split(path: Path) -> tuple[str, int]:
    found = _NAME.fullmatch(path.name)
    if found is None:
        raise _foreign(path)
    return found[1], int(found[2] or 0)


def _foreign(path: Path) -> CorruptState:
    return CorruptState(
        f"'{path.name}' in the study's folder is nothing that this program or an earlier one stored; move it away",
        code="state.foreign",
    )

"""Readings of a ledger that another process was writing: noted in its folder, and entries when it is next opened.

Reading the ledger is an entry of the ledger, and only one process writes entries. So while a study runs, the
command that reads leaves a note here, durably, before it shows anything; `Ledger.open` makes entries of the notes. A
note's name is the SHA-256 of its bytes, so that a damaged one is found. Notes are not signed: they keep honest people's
readings, and whoever can write here could as well copy the ledger without a word.
"""

import hashlib
import json
import re
import secrets
from datetime import datetime
from pathlib import Path

from privacy import durable
from privacy.digest import canonical_json
from privacy.errors import CorruptState
from privacy.ledger.files import read_bytes, unreadable

FOLDER = "readings"
_NAME = re.compile(r"[0-9a-f]{64}\.json")


def note(ledger: Path, what: str, by: str, at: datetime) -> None:
    """Note durably what is about to be read, by whom and when (an aware time).

    Raises:
        StorageError: the disk refuses; then nothing should be shown.
    """
    time = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    data = canonical_json({"what": what, "by": by, "time": time, "nonce": secrets.token_hex(16)}) + b"\n"
    durable.make_folder(ledger / FOLDER)
    durable.write(ledger / FOLDER / f"{hashlib.sha256(data).hexdigest()}.json", data)


def names(ledger: Path) -> tuple[str, ...]:
    """Files of the notes that are there, in the order of their names.

    Raises:
        StorageError: the folder cannot be read.
    """
    folder = ledger / FOLDER
    try:
        found = [path.name for path in folder.iterdir()] if folder.exists() else []
    except OSError as error:
        raise unreadable(FOLDER, error) from error
    return tuple(sorted(name for name in found if _NAME.fullmatch(name)))


def get(ledger: Path, name: str) -> tuple[str, str, str]:
    """Time, what and by whom of a note.

    Raises:
        CorruptState: it is not as it was written.
        StorageError: it cannot be read.
    """
    data = read_bytes(ledger / FOLDER / name)
    try:
        if hashlib.sha256(data).hexdigest() == name.removesuffix(".json"):
            match json.loads(data):
                case {"what": str(what), "by": str(by), "time": str(time), "nonce": str()}:
                    return time, what, by
    except (ValueError, RecursionError):
        pass  # anybody can put there what has the digest in its name
    raise CorruptState("a noted reading is damaged", code="ledger.reading")


def remove(ledger: Path, name: str) -> None:
    """Remove a note durably.

    Raises:
        StorageError: the disk refuses.
    """
    try:
        (ledger / FOLDER / name).unlink(missing_ok=True)
        durable.sync_folder(ledger / FOLDER)
    except OSError as error:
        raise durable.storage_error(error) from error

"""A copy of an aggregator's state, taken while it serves or not, from which it can be put back; and a look at one.

    backup.json         written last: what the copy is of; without it, it is no backup
    aggregator.yaml, roster-statement.json, newest-roster-statement.json, renewals/
    ledger/
    studies/<study>/{study.sqlite, frames/}

All of it is public, signed or ciphertext. No key is in it: `identity/` and `cosigner.key` never change with the rounds
and are kept apart. The ledger is copied before the studies: recovery enters what the ledger lacks, never the reverse.
"""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from aggregator.storage import database, frame_files
from aggregator.storage.database import typed
from aggregator.storage.schema import STEPS
from aggregator.storage.store import DATABASE, FRAMES
from privacy import durable, regular
from privacy.configuration import Strict, load
from privacy.errors import ConfigError, CorruptState, StorageError
from privacy.ledger import backup as ledgers
from privacy.ledger import reader
from privacy.ledger.store import Ledger
from privacy.roster import Hex32

MANIFEST = "backup.json"
FILES = ("aggregator.yaml", "roster-statement.json", "newest-roster-statement.json")
ATTEMPTS = 5
"""How often a study is copied anew whose frames are dropped meanwhile, as they are when a round closes."""


class Manifest(Strict):
    """`backup.json`: what a backup is of."""

    format: Literal["collegium-aggregator-backup/1"] = "collegium-aggregator-backup/1"
    time: str
    origin: str
    ledger_size: int = Field(ge=0)
    ledger_root: Hex32
    studies: dict[str, int]
    """How many frames each study has, by its folder."""


def back_up(state: Path, target: Path, now: datetime) -> Manifest:
    """Copy a state directory into a new or empty folder and verify the copy.

    Raises:
        ConfigError: the folder is not empty, there is no aggregator here, or a study is of an earlier format.
        CorruptState: what is copied is damaged.
        StorageError: the disk refuses; what was copied so far is no backup.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError("the folder for the backup is not empty; name a new one", code="backup.not_empty")
    if not (state / "ledger" / "origin.json").exists():
        raise ConfigError("there is no aggregator's state here yet; name the --state that it serves with")
    durable.make_folder(target)
    # Before the studies: what a store is ahead of its ledger is entered at the next start; the reverse is never mended.
    ledger = ledgers.copy(state / "ledger", target / "ledger")
    for name in FILES:
        if (state / name).exists():
            durable.write(target / name, (state / name).read_bytes())
    ledgers.copy_files(state / "renewals", target / "renewals")
    studies = {path.name: _copy_study(path, target / "studies" / path.name) for path in _studies(state)}
    manifest = Manifest(
        time=f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        origin=ledger.origin,
        ledger_size=ledger.size,
        ledger_root=ledger.root.hex(),
        studies=studies,
    )
    _check(target, manifest)
    durable.write(target / MANIFEST, manifest.model_dump_json(indent=2).encode() + b"\n")
    return manifest


def check(folder: Path) -> Manifest:
    """Verify a backup: ledger, databases, and every frame that they name.

    Raises:
        ConfigError: there is no complete backup here.
        CorruptState: it is damaged.
        StorageError: it cannot be read, or is of a newer version.
    """
    if not (folder / MANIFEST).exists():
        raise ConfigError(
            f"there is no complete backup here: {MANIFEST} is missing; make another", code="backup.incomplete"
        )
    try:
        regular.only(folder, _foreign)
    except OSError as error:
        raise StorageError(f"the backup cannot be read ({error.strerror}); check its permissions") from error
    manifest = load(folder / MANIFEST, Manifest)
    _check(folder, manifest)
    return manifest


def _foreign(path: str) -> CorruptState:
    shown = "".join(c if c.isprintable() else "?" for c in path)[:80]
    return CorruptState(
        f"{shown} is a link, a pipe, a socket or a device, which no backup has; use another backup",
        code="backup.foreign",
    )


def note_restored(state: Path, ledger: Ledger) -> None:
    """Enter into the ledger, once, that a backup was put back here. Raises StorageError."""
    path = state / MANIFEST
    if path.exists():
        manifest = load(path, Manifest)
        detail = f"a backup of {manifest.time} was put back, when the ledger had {manifest.ledger_size} entries"
        ledger.append("incident", {"code": "state.restored", "detail": detail})
        durable.remove(path)


def _studies(state: Path) -> list[Path]:
    found = sorted(path for path in (state / "studies").glob("*") if path.is_dir())
    if any(not (path / DATABASE).exists() for path in found):
        raise ConfigError(
            "a study's state is still in the format of an earlier version; start 'serve' once, which brings it forward"
        )
    return found


def _copy_study(study: Path, target: Path) -> int:
    """The database as it was at one instant, and all frames that it names; gives how many."""
    durable.make_folder(target / FRAMES)
    for left in reversed(range(ATTEMPTS)):
        digests = _copy_database(study / DATABASE, target / DATABASE)
        try:
            for digest in digests:
                if not (target / FRAMES / digest.hex()).exists():
                    durable.write(target / FRAMES / digest.hex(), frame_files.read(study / FRAMES, digest))
        except CorruptState:
            if not left:
                raise
            continue  # dropped since the database was copied, or damaged: the next copy tells
        frame_files.keep_only(target / FRAMES, digests)
        break
    return len(digests)


def _copy_database(source: Path, target: Path) -> list[bytes]:
    target.unlink(missing_ok=True)
    durable.create(target, b"")
    with typed(), _reading(source) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, until a store opens it
        digests = [digest for (digest,) in copy.execute("SELECT DISTINCT sha256 FROM frame")]
    durable.sync(target)
    return digests


def _check(folder: Path, manifest: Manifest) -> None:
    ledger = reader.read(folder / "ledger")
    if (ledger.origin, ledger.size, ledger.root.hex()) != (manifest.origin, manifest.ledger_size, manifest.ledger_root):
        raise CorruptState(f"the ledger is not the one that {MANIFEST} names; use another backup", code="backup.ledger")
    if {path.name for path in _studies(folder)} != manifest.studies.keys():
        raise CorruptState(
            f"the studies are not those that {MANIFEST} names; use another backup", code="backup.studies"
        )
    for name, frames in manifest.studies.items():
        study = folder / "studies" / name
        with typed(), _reading(study / DATABASE) as copy:
            database.check(copy, STEPS)
            digests = [digest for (digest,) in copy.execute("SELECT DISTINCT sha256 FROM frame")]
        for digest in digests:
            frame_files.read(study / FRAMES, digest)
        if len(digests) != frames:
            raise CorruptState(
                "a study has other frames than when it was copied; use another backup", code="backup.studies"
            )


def _reading(path: Path) -> "closing[sqlite3.Connection]":
    return closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True))

"""What is in the state directories of a scene: a ledger, verified, every file, and what should not be left."""

import hashlib
from pathlib import Path

from privacy.ledger import reader
from privacy.ledger.entry import Entry


def ledger(state: Path) -> tuple[Entry, ...]:
    """The ledger in a state directory, all of it verified, head and entries at one."""
    verified = reader.read(state / "ledger")
    assert verified.torn_bytes == 0
    assert verified.acknowledged == verified.size
    return verified.entries


def kinds(entries: tuple[Entry, ...]) -> list[str]:
    return [entry.kind for entry in entries]


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """Mode and SHA-256 of every file below a folder, without locks and what is kept of folders that were read."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock" and path.parent.name not in ("catalogues", "volumes")
    }


def leftovers(folder: Path) -> list[str]:
    """Files that only exist while something is being written."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name.startswith(".") or path.suffix in (".new", ".partial")
    ]

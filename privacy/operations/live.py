"""The file in which a running program says how far it is, for those who ask without disturbing it.

Replaced as a whole, mode 0600, without fsync: it is about this moment, and after a power cut about nothing. It names
the process that wrote it, so a reader can tell a program that runs from one that was killed. What a killed one left
half-written is written over by the next. No patient data.
"""

import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from privacy import durable
from privacy.digest import Json
from privacy.errors import CorruptState

FILE = "status.json"
LARGEST = 2**20


@dataclass(frozen=True)
class Live:
    """What was read: the program's own words, when it wrote them, and whether that process is still there."""

    said: Mapping[str, Json]
    at: datetime
    running: bool


class LiveFile:
    """Writes the file of one process. Thread-safe.

    Args:
        state: the state directory, which this process holds.
    """

    def __init__(self, state: Path) -> None:
        self._path = state / FILE
        self._lock = threading.Lock()
        self._process: dict[str, Json] = {"pid": os.getpid(), "started": _started(os.getpid())}

    def write(self, said: Mapping[str, Json]) -> None:
        """Say something, in the place of all that was said before.

        Raises:
            StorageError: the disk refuses.
        """
        data = {"said": dict(said), "time": datetime.now(UTC).isoformat(), "process": self._process}
        temporary = self._path.with_name(f".{FILE}.new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._lock:
            try:
                with os.fdopen(os.open(temporary, flags, durable.PRIVATE_FILE), "wb") as file:
                    file.write(json.dumps(data).encode() + b"\n")
                temporary.replace(self._path)
            except OSError as error:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
                raise durable.storage_error(error, self._path) from error


def read(state: Path) -> Live | None:
    """What the program of a state directory said last; None if it never did.

    Raises:
        CorruptState: the file is not one that this program wrote.
    """
    path = state / FILE
    try:
        data = path.read_bytes()[:LARGEST]
    except FileNotFoundError:
        return None
    try:
        match json.loads(data):
            case {"said": dict(said), "time": str(time), "process": {"pid": int(pid), "started": str(started)}}:
                at = datetime.fromisoformat(time)
                if at.tzinfo is not None:
                    return Live(said, at, bool(started) and _started(pid) == started)
    except (ValueError, RecursionError):
        pass
    raise CorruptState(f"{FILE} is damaged; remove it, the running program writes it again", code="status.damaged")


def _started(pid: int) -> str:
    """When a process began, in the kernel's words; empty if there is none. A reused number has another beginning."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return line.rpartition(")")[2].split()[19]

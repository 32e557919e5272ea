"""The log of what left: a JSON line a message, on disk before the message is handed to the network.

Files `egress/<n>.jsonl` of the state directory, mode 0600; a new one is begun when one is full, and none is ever
removed here. What the log says is how many bytes of which class of message left, when, for which study and under
which approval; not the bytes. What TLS and HTTP/2 add is not counted. A message that is sent again is counted again.
"""

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from privacy import durable
from privacy.errors import CorruptState

FOLDER = "egress"
FULL_BYTES = 16 * 2**20
"""A file of this size is not appended to any more."""
_NAME = re.compile(r"([0-9]{6})\.jsonl")
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True)
class Sent:
    """One message that left; `study` and `approval` are digests in hex."""

    at: datetime
    name: str
    size: int
    study: str
    approval: str


def _now() -> datetime:
    return datetime.now(UTC)


class EgressLog:
    """Counts what leaves for one study under one approval. Thread-safe; opens its file at the first message.

    Args:
        state: the silo's state directory. Lines of other processes may come between ours: each is one write.
        study: digest of the study, hex; empty for messages of no study.
        approval: digest of the approval, hex, see `silo_node.approvals.approval`; empty for messages of no study.
        clock: UTC.
        full: size in bytes from which a new file is begun.
    """

    def __init__(
        self, state: Path, study: str, approval: str, clock: Callable[[], datetime] = _now, full: int = FULL_BYTES
    ) -> None:
        self._folder, self._study, self._approval = state / FOLDER, study, approval
        self._clock, self._full = clock, full
        self._lock = threading.Lock()
        self._file: int | None = None
        self._totals: dict[str, int] = {}

    def count(self, name: str, size: int) -> None:
        """Enter a message of a class with so many bytes; durable when this returns.

        Raises:
            StorageError: the disk refuses; the message must not be sent.
        """
        entry = {
            "time": self._clock().astimezone(UTC).strftime(_TIME),
            "class": name,
            "bytes": size,
            "study": self._study,
            "approval": self._approval,
        }
        line = json.dumps(entry).encode() + b"\n"
        with self._lock:
            try:
                file = self._opened()
                if os.write(file, line) != len(line):
                    raise durable.storage_error(OSError(28, "No space left on device"))
                os.fsync(file)
                self._totals[name] = self._totals.get(name, 0) + size
            except OSError as error:
                raise durable.storage_error(error) from error

    @property
    def totals(self) -> dict[str, int]:
        """Bytes by class that were entered since this was made."""
        with self._lock:
            return dict(self._totals)

    def close(self) -> None:
        """Close the file, if one was opened."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _opened(self) -> int:
        if self._file is not None:
            if os.fstat(self._file).st_size < self._full:
                return self._file
            os.close(self._file)
            self._file = None
        durable.make_folder(self._folder)
        newest = max(_numbers(self._folder), default=1)
        if (path := _path(self._folder, newest)).exists() and path.stat().st_size >= self._full:
            newest += 1
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(_path(self._folder, newest), flags, durable.PRIVATE_FILE)
        durable.sync_folder(self._folder)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            # A write that was cut off, whose message never left: its own line, which is read as nothing.
            os.write(self._file, b"\n")
        return self._file


def read(state: Path) -> Iterator[Sent]:
    """All that left, oldest first; also while a silo runs.

    Lines that a power cut left unfinished are passed over: their messages were not handed to the network.

    Raises:
        CorruptState: a file of the sequence is missing, or a whole line is not of this log.
    """
    folder = state / FOLDER
    numbers = sorted(_numbers(folder)) if folder.is_dir() else []
    if numbers != list(range(1, len(numbers) + 1)):
        raise CorruptState(
            "a file of the log of what left is missing; look for it in the backups of the state directory",
            code="egress.missing",
        )
    for number in numbers:
        with _path(folder, number).open("rb") as file:
            for line in file:
                if (sent := _sent(line)) is not None:
                    yield sent


def _sent(line: bytes) -> Sent | None:
    if not line.endswith(b"}\n"):
        return None
    try:
        match json.loads(line):
            case {
                "time": str(time),
                "class": str(name),
                "bytes": int(size),
                "study": str(study),
                "approval": str(approval),
                **rest,
            } if not rest and size >= 0:
                return Sent(datetime.strptime(time, _TIME).replace(tzinfo=UTC), name, size, study, approval)
    except (ValueError, RecursionError) as error:
        raise _altered() from error
    raise _altered()


def _altered() -> CorruptState:
    return CorruptState(
        "the log of what left has a line that this program did not write; restore it from a backup",
        code="egress.altered",
    )


def _numbers(folder: Path) -> list[int]:
    return [int(match[1]) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.jsonl"

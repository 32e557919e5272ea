"""Progress for a person or a program that watches: one JSON line an event, appended to a file.

Local only: nothing of it is sent. It holds no patient data and no training metric; the global
metrics in it are those that every silo of the study sees.
"""

import json
import time
from pathlib import Path

from privacy.digest import Json
from privacy.durable import storage_error


class Progress:
    """Appends events to a file, or drops them when there is none. Raises StorageError when the disk refuses."""

    def __init__(self, path: Path | None, rounds: int) -> None:
        self._path, self._rounds = path, rounds
        try:
            # Unbuffered: what the disk refuses is refused here, and not again when the file is closed.
            self._file = path.open("ab", buffering=0) if path else None
        except OSError as error:
            raise storage_error(error, path) from error

    def say(self, event: str, round_number: int, **more: Json) -> None:
        """Write one event."""
        if self._file is None:
            return
        line = {"time": time.time(), "event": event, "round": round_number, "rounds": self._rounds, **more}
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise storage_error(error, self._path) from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

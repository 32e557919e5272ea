"""Progress for a person or a program that watches: one JSON line an event, appended to a file.

Local only: nothing of it is sent. It holds no patient data and no training metric; the global
metrics in it are those that every silo of the study sees.
"""

import json
import time
from pathlib import Path

from privacy.digest import Json


class Progress:
    """Appends events to a file, or drops them when there is none."""

    def __init__(self, path: Path | None, rounds: int) -> None:
        self._file = path.open("a", encoding="utf-8") if path else None
        self._rounds = rounds

    def say(self, event: str, round_number: int, **more: Json) -> None:
        """Write one event."""
        if self._file is None:
            return
        line = {"time": time.time(), "event": event, "round": round_number, "rounds": self._rounds, **more}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

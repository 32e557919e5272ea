"""How many calls ended with which error since the start: that a revoked silo goes on calling, for instance, shows."""

import threading
from collections import Counter
from collections.abc import Mapping


class Refusals:
    """Counts by the code of the error. Thread-safe; the codes are the program's own, and so few."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def count(self, code: str) -> None:
        """One more."""
        with self._lock:
            self._counts[code] += 1

    def seen(self) -> Mapping[str, int]:
        """All so far."""
        with self._lock:
            return dict(self._counts)

"""Which calls ended with which error since the start, and whose: that a revoked silo goes on calling, say, shows.

The caller is who its certificate, or its proof on a one-way line, says; whom the roster does not name is nobody.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from privacy.study import Study

TELL_SECONDS = 60.0
"""How often a silo's calls that ended with the same error are told, at most."""


@dataclass(frozen=True)
class Refused:
    """What is told: how many calls of a silo ended with an error of this code; `silo` is empty for nobody known."""

    silo: str
    code: str
    times: int


class Refusals:
    """Counts by silo and code. Thread-safe; the names are the roster's and the codes the program's own, and so few."""

    def __init__(self, study: Study) -> None:
        self._silos = frozenset(silo.name for silo in study.roster.silos)
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._untold: Counter[tuple[str, str]] = Counter()
        self._told: dict[tuple[str, str], float] = {}

    def count(self, code: str, silo: str) -> None:
        """One more; `silo` is empty where the caller was not proven to be one."""
        with self._lock:
            self._counts[code] += 1
            self._untold[silo if silo in self._silos else "", code] += 1

    def seen(self) -> Mapping[str, int]:
        """All so far, by code."""
        with self._lock:
            return dict(self._counts)

    def due(self) -> Iterable[Refused]:
        """What is to be told now: the first of its kind at once, and then what came in a minute."""
        now = time.monotonic()
        with self._lock:
            due = [key for key in self._untold if now >= self._told.get(key, float("-inf")) + TELL_SECONDS]
            self._told.update(dict.fromkeys(due, now))
            return [Refused(*key, self._untold.pop(key)) for key in due]

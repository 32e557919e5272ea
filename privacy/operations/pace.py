"""What a person at a terminal, or who reads a journal, is told of rounds: a line as each ends, and of what lasts.

Before the first round each phase is told at once. In a round a phase is told when it has lasted half a minute, with
what is awaited, and again after four times as long each time; the line at a round's end says how long each took.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from privacy.operations.watching import duration

LONG_SECONDS = 30.0
LONGER = 4
LOOK_SECONDS = 1.0


class Pace:
    """Lines about the rounds of one study. Thread-safe.

    Args:
        say: writes a line.
        study: its name.
        rounds: how many it has.
        awaited: by phase, what is waited for; in the others the program is busy itself.
    """

    def __init__(self, say: Callable[[str], None], study: str, rounds: int, awaited: Mapping[str, str]) -> None:
        self._say, self._study, self._rounds, self._awaited = say, study, rounds, awaited
        self._lock = threading.Lock()
        self._now = (0, "")
        self._since = self._begun = time.monotonic()
        self._tell_after = LONG_SECONDS
        self._took: dict[str, float] = {}

    def phase(self, number: int, phase: str) -> None:
        """A phase of round `number` begins; 0 for what comes before the first."""
        with self._lock:
            if (number, phase) == self._now:
                return
            now = time.monotonic()
            self._count(now)
            if number != self._now[0]:
                self._begun, self._took = now, {}
            self._now, self._since, self._tell_after = (number, phase), now, LONG_SECONDS
            if not number:
                self._say(f"{self._place()}: {phase}{self._waiting()}")

    def ended(self, number: int, how: str) -> None:
        """Round `number` is over."""
        with self._lock:
            now = time.monotonic()
            self._count(now)
            took = ", ".join(f"{phase} {duration(seconds)}" for phase, seconds in self._took.items() if seconds >= 1)
            self._now, self._since = (number, ""), now
            self._say(f"{self._place()}: {how}, after {duration(now - self._begun)}{f' ({took})' if took else ''}")
            self._took, self._begun = {}, now

    def look(self) -> None:
        """Tell of a phase that lasts."""
        with self._lock:
            lasted = time.monotonic() - self._since
            if self._now[1] and lasted >= self._tell_after:
                self._tell_after *= LONGER
                self._say(f"{self._place()}: {self._now[1]} for {duration(lasted)} so far{self._waiting()}")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Meanwhile look every second."""
        over = threading.Event()

        def work() -> None:
            while not over.wait(LOOK_SECONDS):
                self.look()

        thread = threading.Thread(target=work, name="pace", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _count(self, now: float) -> None:
        phase = self._now[1]
        if phase:
            self._took[phase] = self._took.get(phase, 0.0) + now - self._since

    def _place(self) -> str:
        number = self._now[0]
        return f"round {number} of {self._rounds}" if number else f"study '{self._study}'"

    def _waiting(self) -> str:
        awaited = self._awaited.get(self._now[1])
        return f"; awaited: {awaited}" if awaited else ""

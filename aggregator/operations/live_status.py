"""Writes how far the running aggregator is, once a second where it changed, to `status.json` in its state directory.

Each new phase is an event of its log, too, and so is whose calls were refused.
"""

import threading
from datetime import UTC, datetime

from aggregator.operations.refusals import Refusals
from aggregator.operations.view import View
from aggregator.rounds.coordinator import Coordinator
from privacy.digest import Json
from privacy.errors import StorageError
from privacy.operations.events import SILENT, Events
from privacy.operations.live import LiveFile

EVERY_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0


class LiveStatus:
    """A thread that looks at a coordinator and writes what it sees. A disk that refuses is told of once."""

    def __init__(
        self, coordinator: Coordinator, file: LiveFile, events: Events = SILENT, refusals: Refusals | None = None
    ) -> None:
        self._coordinator, self._file, self._events, self._refusals = coordinator, file, events, refusals
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="status", daemon=True)
        self._since = datetime.now(UTC)
        self._told: tuple[int, str] | None = None
        self._refused = False

    def start(self) -> None:
        """Begin; the file is there when this returns, unless the disk refused."""
        self._write(self._coordinator.view())
        self._thread.start()

    def look(self) -> tuple[View, datetime]:
        """The newest round now, and since when it was seen in its phase."""
        return self._coordinator.view(), self._since

    def stop(self) -> None:
        """Write a last time and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        written, before = 0.0, None
        while not self._stop.wait(EVERY_SECONDS):
            written += EVERY_SECONDS
            self._tell_refused()
            seen = self._coordinator.view()
            now = (seen.round, seen.phase, seen.done, seen.begun, seen.revoked)
            if now != before or written >= HEARTBEAT_SECONDS:
                self._write(seen)
                before, written = now, 0.0
        self._tell_refused()
        self._write(self._coordinator.view())

    def _tell_refused(self) -> None:
        for one in self._refusals.due() if self._refusals is not None else ():
            named: dict[str, Json] = {"silo": one.silo} if one.silo else {}
            self._events.say("refused", None, code=one.code, times=one.times, **named)

    def _write(self, seen: View) -> None:
        if self._told != (seen.round, seen.phase):
            self._told, self._since = (seen.round, seen.phase), datetime.now(UTC)
            self._events.say("phase", seen.round, phase=seen.phase)
        try:
            self._file.write({**seen.to_json(), "since": self._since.isoformat()})
            self._refused = False
        except StorageError as error:
            if not self._refused:
                self._events.say("warning", seen.round, code=error.code, sentence=str(error))
            self._refused = True

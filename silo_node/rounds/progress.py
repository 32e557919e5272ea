"""Progress for a person or a program that watches: one JSON line an event, appended to a file, and the live status.

Local only: nothing of it is sent. It holds no patient data and no training metric; the global
metrics in it are those that every silo of the study sees.
"""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from privacy.digest import Json
from privacy.durable import storage_error
from privacy.operations.events import EVENTS, SILENT, Events
from privacy.operations.live import LiveFile
from privacy.operations.pace import Pace

OVER = ("abandoned", "snapshot taken")
"""Phases that say how a round ended."""


class Progress:
    """Appends events to a file, or drops them when there is none. Raises StorageError when the disk refuses.

    Args:
        path: the file of events, if one is wanted.
        rounds: of the study, for those who watch.
        study: its name.
        live: where the phase is told that the silo is in now.
        events: the log of the program.
        pace: tells a person of rounds.

    Attributes:
        said: the newest phase, as it was told.
    """

    def __init__(
        self,
        path: Path | None,
        rounds: int,
        study: str = "",
        live: LiveFile | None = None,
        events: Events = SILENT,
        pace: Pace | None = None,
    ) -> None:
        self._events, self._pace = events, pace
        self._path, self._rounds, self._study, self._live = path, rounds, study, live
        self.said: dict[str, Json] = {}
        self._silence: dict[str, Json] = {"no_answer_since": None, "no_answer_code": None}
        try:
            # Unbuffered: what the disk refuses is refused here, and not again when the file is closed.
            self._file = path.open("ab", buffering=0) if path else None
        except OSError as error:
            raise storage_error(error, path) from error

    def say(self, event: str, round_number: int, **more: Json) -> None:
        """Write one event. A phase that goes on is not told again."""
        phase = more.get("phase")
        if event == "phase" and (round_number, phase) == (self.said.get("round"), self.said.get("phase")):
            return
        self._tell(event, round_number, phase)
        self._keep_pace(event, round_number, more)
        if event in EVENTS:
            self._events.say(event, round_number, **{key: more[key] for key in EVENTS[event].fields & more.keys()})
        if self._file is None:
            return
        line = {"time": time.time(), "event": event, "round": round_number, "rounds": self._rounds, **more}
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise storage_error(error, self._path) from error

    def warn(self, code: str, sentence: str) -> None:
        """Say what a person should know while the silo goes on: a code and its sentence."""
        self.say("warning", self._round(), code=code, sentence=sentence)

    def unanswered(self, since: datetime, code: str) -> None:
        """The aggregator has not answered since then, and why, for those who watch."""
        self._silence = {"no_answer_since": since.isoformat(), "no_answer_code": code}
        self._live_again()

    def answered(self, seconds: int | None) -> None:
        """It answers again; `seconds` is how long it did not, if that was told."""
        if self._silence["no_answer_since"] is not None:
            self._silence = dict.fromkeys(self._silence)
            self._live_again()
        if seconds is not None:
            self.say("answered", self._round(), seconds=seconds)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _tell(self, event: str, round_number: int, phase: Json) -> None:
        if event not in ("phase", "finished", "stopped"):
            return
        self.said = {
            "study": self._study,
            "round": round_number,
            "rounds": self._rounds + 1,  # the last one only evaluates
            "phase": phase if event == "phase" else event,
            "since": datetime.now(UTC).isoformat(),
            **self._silence,
        }
        self._write_live()

    def _keep_pace(self, event: str, number: int, more: Mapping[str, Json]) -> None:
        if self._pace is None:
            return
        if event == "round_closed":
            missing = f", without {more['missing']}" if more.get("missing") else ""
            self._pace.ended(number, f"closed with {more.get('silos')} silos{missing}")
        elif event == "phase" and more["phase"] in OVER:
            self._pace.ended(number, str(more["phase"]))
        elif event == "phase":
            self._pace.phase(number, str(more["phase"]))

    def _live_again(self) -> None:
        if self.said:
            self.said = {**self.said, **self._silence}
            self._write_live()

    def _write_live(self) -> None:
        if self._live is not None:
            self._live.write(self.said)

    def _round(self) -> int:
        number = self.said.get("round")
        return number if isinstance(number, int) else 0

"""Events of a running program, out of a closed table: a JSON line each, or a plain line of those that a person acts on.

For whoever collects logs: what is in them leaves the machine, so an event has only the fields of the table, and a
field only a number, a word of the program's own, or the sentence of a typed error, as it is shown to a person. No
patient data and no metric.
"""

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from privacy.digest import Json
from privacy.ledger.entry import Entry


@dataclass(frozen=True)
class Kind:
    """What an event says, and which fields it has besides time, event, program, study and round.

    `plain` is the line for a person, made of its fields, `unknown` for one that is not given; none where it is empty.
    """

    what: str
    fields: frozenset[str] = frozenset()
    plain: str = ""


EVENTS: Mapping[str, Kind] = {
    "started": Kind("the program takes part in, or serves, a study"),
    "phase": Kind("a round is in another phase", frozenset({"phase"})),
    "round_closed": Kind(
        "a round ended with a sum: of how many silos, and which of the roster are missing in it",
        frozenset({"upload_bytes", "silos", "missing"}),
    ),
    "finished": Kind("the study is over"),
    "stopped": Kind("a person had it stopped between rounds, or the operator ended it"),
    "renewal_asked": Kind(
        "a silo asks for a new certificate, which a person has to answer",
        frozenset({"silo"}),
        "silo '{silo}' asks for a new certificate; 'collegium-aggregator status' says what to do",
    ),
    "warning": Kind(
        "something was refused, or the aggregator does not answer, and the program goes on",
        frozenset({"code", "sentence"}),
        "warning: {sentence} [{code}]",
    ),
    "refused": Kind(
        "calls ended with an error, so many since this was last told: at most once a minute for a silo and code; "
        "`silo` is left out where it is not known who called",
        frozenset({"code", "silo", "times"}),
        "refused: {times} calls, silo {silo} [{code}]",
    ),
    "incident": Kind(
        "the ledger has an incident, which a person should look at",
        frozenset({"code"}),
        "incident: 'ledger show --kind incident' says more [{code}]",
    ),
    "answered": Kind(
        "the aggregator answers again, after so many seconds without an answer that a `warning` told of",
        frozenset({"seconds"}),
        "the aggregator answers again, after {seconds} s",
    ),
    "serving": Kind(
        "the aggregator listens, with the study's roster code", frozenset({"port", "one_way_port", "roster_code"})
    ),
    "renewed": Kind(
        "the silo's certificate was renewed, until then",
        frozenset({"until"}),
        "the certificate is renewed until {until}",
    ),
    "defect": Kind(
        "something failed by a defect of this program, which goes on if it can: the kind of the error and where in the "
        "code; `incident` is the number that the caller was told",
        frozenset({"kind", "where", "incident"}),
        "defect: {kind} at {where}, incident {incident}; please report this line",
    ),
    "library": Kind(
        "a library has logged something, whose text may quote what it read; told once for each place in its code",
        frozenset({"logger", "level"}),
    ),
    "failed": Kind(
        "the program ended with an error; `defect` and `interrupted` have no sentence", frozenset({"code", "sentence"})
    ),
}
"""Every event, by its code."""


class Events:
    """Writes events of one program about one study; thread-safe. Writes nothing where there is no stream.

    Args:
        stream: where lines go, for instance standard error; None for nowhere.
        program: `silo` or `aggregator`.
        study: name of the study; empty until it is known, see `begin`.
        as_json: a JSON line an event; else those that have a line for a person.
    """

    def __init__(self, stream: TextIO | None, program: str, study: str = "", *, as_json: bool = True) -> None:
        self._stream, self._program, self._study, self.as_json = stream, program, study, as_json
        self._lock = threading.Lock()
        self._round = 0

    def begin(self, study: str) -> None:
        """The program takes part in, or serves, this study."""
        self._study = study
        self.say("started", 0)

    def say(self, event: str, round_number: int | None, **more: Json) -> None:
        """Write an event, with those of its fields that are given; no `round_number` means the newest that was told.

        Raises:
            RuntimeError: no such event, or a field that it does not have.
        """
        if event not in EVENTS or more.keys() - EVENTS[event].fields:
            raise RuntimeError(f"'{event}' is no event with the fields {', '.join(sorted(more))}")
        number = self._round = self._round if round_number is None else round_number
        if not self.as_json:
            if EVENTS[event].plain:
                self._write(EVENTS[event].plain.format(**dict.fromkeys(EVENTS[event].fields, "unknown") | more))
            return
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "program": self._program,
            "study": self._study,
            "round": number,
            **more,
        }
        self._write(json.dumps(line))

    def incident(self, entry: Entry) -> None:
        """Say it of an entry of the ledger that is one, for `Ledger.listen`."""
        if entry.kind == "incident":
            self.say("incident", None, code=entry.body["code"])

    def plain(self, line: str) -> None:
        """Write a line that is no event, where a person reads."""
        if not self.as_json:
            self._write(line)

    def _write(self, line: str) -> None:
        if self._stream is not None:
            with self._lock, suppress(OSError):  # a log that nobody takes costs no round
                print(line, file=self._stream, flush=True)


SILENT = Events(None, "", "")
"""Events that nobody asked for."""

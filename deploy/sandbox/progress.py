"""What the silos report while they run: read from their progress files, shown as a table or as lines.

A silo appends one JSON object a line to its progress file (`collegium-silo run --progress-json`).
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from deploy.sandbox.spending import Meter

PLACE = ("event", "time", "round", "rounds", "after_round")
"""Keys of every event, beside which stand the metrics of the study's task."""

LINE_EVERY = 10.0
"""Seconds between lines where the output is not a terminal."""


@dataclass
class SiloProgress:
    """One silo as its progress file tells it so far."""

    name: str
    path: Path
    phase: str = "starting"
    closed: int = 0
    rounds: int = 0
    parameters: int = 0
    sent: int = 0
    upload_bytes: int = 0
    first_round_closed: float | None = None
    evaluations: dict[int, dict[str, float]] = field(default_factory=dict)
    _offset: int = 0

    def read(self) -> None:
        """Take in what was appended since the last call; a line that is still being written waits."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            self._take(json.loads(line))

    def _take(self, event: dict[str, float | int | str | None]) -> None:
        kind = event["event"]
        self.phase = str(event.get("phase", self.phase))
        self.rounds = int(event["rounds"] or 0)
        self.parameters = int(event.get("parameters") or self.parameters)
        if kind == "round_closed":
            # One round more than is trained closes: the last sum carries the final metrics alone.
            self.closed = min(int(event["round"] or 0), self.rounds)
            self.upload_bytes = int(event["upload_bytes"] or 0)
            self.sent += self.upload_bytes
            if self.first_round_closed is None:
                self.first_round_closed = float(event["time"] or 0)
        elif kind == "evaluated":
            metrics = {key: float(value or 0) for key, value in event.items() if key not in PLACE}
            self.evaluations[int(event["after_round"] or 0)] = metrics
        elif kind == "finished":
            self.phase = "finished"


class Display:
    """Shows steps as lines, and silos as a live table on a terminal or a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._meter = Meter(None)
        self._live: Live | None = None
        self._last_line = 0.0

    def step(self, text: str) -> None:
        """Say what happens next."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def begin(self, meter: Meter) -> None:
        """Start showing silos; `meter` tells what their rounds cost."""
        self._meter = meter
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=False)
            self._live.start()

    def show(self, silos: Sequence[SiloProgress]) -> None:
        """Bring the table, or now and then the lines, up to date."""
        if self._live is not None:
            self._live.update(self._table(silos))
        elif time.monotonic() - self._last_line >= LINE_EVERY:
            self._last_line = time.monotonic()
            self.step(
                "  " + "; ".join(f"{silo.name}: {silo.phase}, {silo.closed}/{silo.rounds} rounds" for silo in silos)
            )

    def end(self) -> None:
        """Stop showing silos; the last table stays."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _table(self, silos: Sequence[SiloProgress]) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("silo", "phase", "rounds", "", "epsilon spent", "sent", "AUC, all silos"):
            table.add_column(heading, justify="right" if heading in ("epsilon spent", "sent") else "left")
        for silo in silos:
            auc = silo.evaluations[max(silo.evaluations)].get("auc") if silo.evaluations else None
            table.add_row(
                silo.name,
                silo.phase,
                ProgressBar(total=max(1, silo.rounds), completed=silo.closed, width=30),
                f"{silo.closed}/{silo.rounds}",
                epsilon_text(self._meter.after(silo.closed)),
                f"{silo.sent / 1e6:.2f} MB",
                "" if auc is None else f"{auc:.3f}",
            )
        return table


def epsilon_text(epsilon: float | None) -> str:
    """An epsilon for people; None = training without differential privacy."""
    return "unprotected" if epsilon is None else f"{epsilon:.2f}"

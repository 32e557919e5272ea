"""The silos of `benchmarks.load`, in a few processes of `benchmarks.load_silos`: started, sent into rounds, heard."""

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from queue import Queue
from typing import IO, Any

STEPS = ("keys", "shares", "upload", "survivors", "sum", "audit", "closed")
SILENT_SECONDS = 600.0


class Crowd:
    """All silos, in their processes; what they say is read as it comes."""

    def __init__(self, processes: Sequence["subprocess.Popen[str]"]) -> None:
        self._processes = processes
        self._said: Queue[dict[str, Any]] = Queue()
        self._events: list[dict[str, Any]] = []
        for process in processes:
            threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()
        self.until("ready", len(processes))

    def begin(self, number: int) -> float:
        """Send all silos into a round; when that was."""
        self._events.clear()
        now = time.monotonic()
        for process in self._processes:
            if process.stdin is None:
                raise RuntimeError("the silos were started without a pipe")
            process.stdin.write(f"{number}\n")
            process.stdin.flush()
        return now

    def until(self, step: str, count: int) -> None:
        """Wait until so many have come to a step."""
        while len(self.seen(step)) < count:
            event = self._said.get(timeout=SILENT_SECONDS)
            if event["step"] == "failed":
                raise SystemExit(f"a silo failed: {event['why']}")
            self._events.append(event)

    def first_after(self, step: str, instant: float) -> float:
        """When the first silo came to a step after an instant, waited for."""
        while not any(at > instant for at in self.seen(step)):
            self.until(step, len(self.seen(step)) + 1)
        return min(at for at in self.seen(step) if at > instant)

    def seen(self, step: str) -> list[float]:
        """When silos came to a step, as far as was waited for."""
        return [event["at"] for event in self._events if event["step"] == step]

    def seconds(self, begun: float) -> dict[str, object]:
        """A round's seconds in all, and when the median and the last silo came to each step."""
        last = {step: round(max(self.seen(step)) - begun, 2) for step in STEPS}
        median = {step: round(statistics.median(self.seen(step)) - begun, 2) for step in STEPS}
        return {"seconds": last["closed"], "last_silo_s": last, "median_silo_s": median}

    def uploaded(self) -> int:
        """Bytes of the messages of all uploads that silos sent in this round, those sent again too."""
        return sum(event["upload_bytes"] for event in self._events if event["step"] == "upload")

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            self._said.put(json.loads(line))
        self._said.put({"step": "failed", "why": "a process of silos ended"})


@contextmanager
def gathered(arguments: Sequence[object], silos: int, processes: int) -> Iterator[Crowd]:
    """So many silos, in so many processes with these arguments, which end with the context."""
    command = [sys.executable, "-m", "benchmarks.load_silos", *map(str, arguments)]
    cuts = [silos * index // processes for index in range(processes + 1)]
    started = [
        subprocess.Popen(
            [*command, "--first", str(first + 1), "--last", str(last)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first, last in pairwise(cuts)
        if last > first
    ]
    try:
        yield Crowd(started)
    finally:
        for process in started:
            process.kill()
            process.wait()

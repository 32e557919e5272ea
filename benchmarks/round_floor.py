"""What a round costs when training costs nothing: real processes, mutual TLS, three silos, every check on.

`python -m benchmarks.round_floor --json` prints one JSON object. The aggregator is `collegium-aggregator serve`, each
silo is the real agent in a process of its own (`benchmarks.round_floor_silo`), all on this machine's loopback, cores
and disk: keys, shares, budget, encryption, masks, upload, fold, MAC, audit, unmasking, opening and every fsync are in
it. A round's seconds are from the last silo's "closed" of one round to the last silo's of the next; the median is
given. The first round (keys, metrics) and the last (metrics alone) are left out. Each silo has its share of the cores
for workers, since hospitals have machines of their own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.founding import Hub, found
from privacy.he.workers import cores

SIZES = (1_000, 7_000_000)
NAMES = ("north", "south", "east")
STUDY_SECONDS = 500.0


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description="Seconds a round without training.")
    parser.add_argument("--parameters", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--profile", type=Path, help="write cProfile data of each silo into this folder")
    parser.add_argument("--json", action="store_true", help="one line of JSON (the default is indented)")
    arguments = parser.parse_args()
    rounds = {count: run(count, arguments.rounds, arguments.profile) for count in arguments.parameters}
    result = {
        "seconds_per_round": {str(count): round(statistics.median(took), 3) for count, took in rounds.items()},
        "seconds_of_rounds": {str(count): [round(one, 3) for one in took] for count, took in rounds.items()},
        "silos": len(NAMES),
        "cores": cores(),
    }
    print(json.dumps(result, indent=None if arguments.json else 2))


def run(parameters: int, rounds: int, profile: Path | None = None) -> list[float]:
    """Run a study of so many rounds; the seconds of each but the first and the last."""
    with tempfile.TemporaryDirectory(prefix="collegium-floor-") as scratch:
        folder = Path(scratch)
        study_file = found(folder, NAMES, len(NAMES), parameters, rounds)
        hub = Hub(folder, study_file)
        try:
            port = hub.port()
            processes = [_silo(folder / name, study_file, port, parameters, profile) for name in NAMES]
            try:
                _finish(processes)
            finally:
                _end(processes)
        finally:
            hub.stop()
        closed = [_closed(folder / name / "progress.jsonl") for name in NAMES]
    ends = [max(times[number] for times in closed) for number in range(1, rounds + 1)]
    return [after - before for before, after in pairwise(ends)]


def _silo(state: Path, study_file: Path, port: int, parameters: int, profile: Path | None) -> "subprocess.Popen[bytes]":
    processes = max(1, cores() // len(NAMES))  # the silos share this machine
    options = ["--study", study_file, "--aggregator", f"localhost:{port}"]
    options += ["--parameters", parameters, "--processes", processes]
    if profile:
        profile.mkdir(parents=True, exist_ok=True)
        options += ["--profile", profile / f"{state.name}-{parameters}.prof"]
    return subprocess.Popen([sys.executable, "-m", "benchmarks.round_floor_silo", str(state), *map(str, options)])


def _finish(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    end = time.monotonic() + STUDY_SECONDS
    while any(process.poll() is None for process in processes):
        if any(process.poll() for process in processes) or time.monotonic() > end:
            break
        time.sleep(0.1)
    if any(process.poll() != 0 for process in processes):
        raise SystemExit("a silo did not finish the study")


def _end(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()


def _closed(progress_file: Path) -> Mapping[int, float]:
    events: list[dict[str, Any]] = [json.loads(line) for line in progress_file.read_text().splitlines()]
    return {event["round"]: event["time"] for event in events if event["event"] == "round_closed"}


if __name__ == "__main__":
    main()

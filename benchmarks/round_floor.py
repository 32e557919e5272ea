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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from deploy.consortium.authority import Authority
from imaging.tasks import ranking
from privacy import study
from privacy.channel import enrolment, roster_statement
from privacy.channel.identity import Identity
from privacy.channel.member import Member, Role
from privacy.he.params import SMALL_RING_VALUES
from privacy.he.workers import cores
from privacy.study import Study
from privacy.update import UpdateLayout

SIZES = (1_000, 7_000_000)
NAMES = ("north", "south", "east")
HUB = "hub"
BINS = 8
START_SECONDS, STUDY_SECONDS = 30.0, 500.0


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
        study_file = found(folder, parameters, rounds)
        with serving(folder, study_file) as port:
            processes = [_silo(folder / name, study_file, port, parameters, profile) for name in NAMES]
            try:
                _finish(processes)
            finally:
                _end(processes)
        closed = [_closed(folder / name / "progress.jsonl") for name in NAMES]
    ends = [max(times[number] for times in closed) for number in range(1, rounds + 1)]
    return [after - before for before, after in pairwise(ends)]


def found(folder: Path, parameters: int, rounds: int) -> Path:
    """A consortium with its members enrolled below `folder`; the path of the signed study."""
    now = datetime.now(UTC)
    authority = Authority.create(folder / "consortium", "floor", now - timedelta(days=1))
    hub = _enrol(authority, folder, Role.AGGREGATOR, HUB, now)
    silos = [_enrol(authority, folder, Role.SILO, name, now) for name in NAMES]
    statement = authority.revocations.renew(now, timedelta(days=1))
    (folder / HUB / "roster-statement.json").write_bytes(roster_statement.dump(statement))
    path = folder / "study.yaml"
    path.write_text(study.dump(study.sign(_study(hub, silos, parameters, rounds), authority.study_key)))
    return path


@contextmanager
def serving(folder: Path, study_file: Path) -> Iterator[int]:
    """The aggregator's program; gives its port."""
    port_file = folder / "port"
    options = ["--state", folder / HUB, "--study", study_file, "--listen", "localhost:0", "--port-file", port_file]
    command = [sys.executable, "-m", "aggregator.app", "serve", *map(str, options)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + START_SECONDS
        while not (port_file.exists() and port_file.read_text().endswith("\n")):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit("the aggregator did not start")
            time.sleep(0.05)
        yield int(port_file.read_text())
    finally:
        _end([process])


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


def _enrol(authority: Authority, folder: Path, role: Role, name: str, now: datetime) -> Identity:
    member = Member(authority.name, role, name)
    token, admission = folder / f"{name}.token", folder / f"{name}.admission.json"
    token.write_text(authority.register.invite(member, now + timedelta(hours=1)) + "\n")
    hosts = ("localhost",) if role is Role.AGGREGATOR else ()
    request = enrolment.begin(folder / name, member, hosts, token, folder / f"{name}.request.json")
    admission.write_text(authority.admit(request, now).model_dump_json())
    return enrolment.finish(folder / name, admission, now)


def _study(hub: Identity, silos: Sequence[Identity], parameters: int, rounds: int) -> Study:
    length = UpdateLayout((("weight", (parameters,)),), ranking.fields(BINS)).length
    ring = "small" if length <= SMALL_RING_VALUES else "large"
    data = {
        "format": "collegium-study/1",
        "name": "floor",
        "consortium": hub.member.consortium,
        "task": {"kind": "binary_classification", "label": "none"},
        "model": {"name": "resnet", "seed": 1},
        "transforms": [{"name": "standardise"}],
        "training": {"rounds": rounds, "local_steps": 1, "learning_rate": 1.0},
        "privacy": {
            "mechanism": "dp_sgd",
            "epsilon": 8.0,
            "delta": 1e-4,
            "clip": 1.0,
            "sampling_rate": 0.01,
            "lot_size": 10,
            "noise_multiplier": 2.0,
        },
        "evaluation": {"bins": BINS},
        "encryption": {"ring": ring, "length": length},
        "roster": {
            "threshold": len(silos),
            "steward": silos[0].member.name,
            "aggregator": {"name": hub.member.name, "identity": hub.keys.public_identity.hex()},
            "silos": [{"name": s.member.name, "identity": s.keys.public_identity.hex()} for s in silos],
        },
    }
    return Study.model_validate_json(json.dumps(data))


if __name__ == "__main__":
    main()

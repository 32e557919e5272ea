"""What the ledger costs: durable appends, verifying a million entries, and a report over fifty hospitals.

`python -m benchmarks.ledger --json` prints one JSON object. Ledgers are valid: every entry is signed and every head is
right, made without the fsync of each append, which is measured by itself. What is measured runs in a process of its
own (`--measure`), so that its peak is the most resident memory it ever had. `verify` checks every signature on all
cores, `verify_by_head` relies on the head's. `report` is the whole of
`collegium-compliance report` but for the print (PDF).
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.aggregator_fold import memory
from privacy.digest import Json
from privacy.dp.events import DpSgdEvent, to_json
from privacy.he.workers import cores
from privacy.ledger import files
from privacy.ledger.entry import make
from privacy.ledger.reader import Reading
from privacy.ledger.store import Ledger
from privacy.ledger.tree import Frontier, leaf_hash
from privacy.study import Study, dump, sign

Fact = tuple[str, dict[str, Json]]
HUB = "hub"
START = datetime(2026, 1, 5, 8, tzinfo=UTC)
RATE = 0.01
NOISE = (1.1, 1.15, 1.2, 1.25, 1.3)
"""Studies differ in their noise, so that a cohort's history has several mechanisms to compose."""
CONSORTIUM_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def main() -> None:
    """Parse, make the ledgers, measure, print."""
    parser = argparse.ArgumentParser(description="What the ledger costs.")
    parser.add_argument("--appends", type=int, default=500, help="durable appends to time")
    parser.add_argument("--entries", type=int, default=1_000_000, help="entries to verify")
    parser.add_argument("--silos", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--studies", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="keep the ledgers here, and use those that are here")
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="one line of JSON (the default is indented)")
    arguments = parser.parse_args()
    if arguments.measure:
        result = measure(arguments.measure[0], Path(arguments.measure[1]))
    else:
        with tempfile.TemporaryDirectory(prefix="collegium-ledger-") as scratch:
            folder = arguments.folder or Path(scratch)
            result = {"append": appends(Path(scratch) / "appends", arguments.appends), "cores": cores()}
            long, evidence = folder / "long", folder / "evidence"
            if not long.exists():
                write(long, name(1), key(1), rounds(study(3, arguments.entries, 0), arguments.entries))
            if not evidence.exists():
                found(evidence, arguments.silos, arguments.rounds, arguments.studies)
            for what, subject in (("verify", long), ("verify_by_head", long), ("report", evidence)):
                result[what] = alone(what, subject)
    print(json.dumps(result, indent=None if arguments.json else 2))


def appends(folder: Path, count: int) -> dict[str, Json]:
    """Appends a second, each durable when it is acknowledged, on the disk of the temporary folder."""
    took = []
    with Ledger.create(folder, name(1), key(1)) as ledger:
        for kind, body in rounds(study(3, count, 0), count):
            began = time.perf_counter()
            ledger.append(kind, body)
            took.append(time.perf_counter() - began)
    return {"per_s": round(count / sum(took)), "median_ms": round(1000 * statistics.median(took), 3)}


def alone(what: str, folder: Path) -> Json:
    """A measurement in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ledger", "--measure", what, str(folder)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(what: str, folder: Path) -> dict[str, Json]:
    """Do it here: `verify`, `verify_by_head` or `report`."""
    began = time.perf_counter()
    every = what == "verify"
    entries = _report(folder) if what == "report" else sum(1 for _ in Reading(folder, facts_only=not every))
    return {
        "entries": entries,
        "wall_s": round(time.perf_counter() - began, 2),
        "cpu_s": round(sum(os.times()[:4]), 2),
        "peak_mb": memory("VmHWM"),
        # Of the greatest process that helped, which had ended when this one had its peak.
        "helper_peak_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6, 1),
    }


def _report(folder: Path) -> int:
    from compliance.app import report

    with tempfile.TemporaryDirectory(prefix="collegium-report-", dir=folder.parent) as scratch:
        target = Path(scratch) / "report"
        with contextlib.redirect_stdout(sys.stderr):
            report([folder], target, pdf=False)
        made = json.loads((target / "report.json").read_bytes())
    return sum(ledger["entries"] for ledger in made["ledgers"])


def found(folder: Path, silos: int, count: int, studies: int) -> None:
    """The evidence of a consortium whose studies, one after the other, all ran to their end."""
    signed = [study(silos, count, number) for number in range(studies)]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for one in signed:
        (folder / f"{one.name}.yaml").write_text(dump(sign(one, CONSORTIUM_KEY)))
    with ProcessPoolExecutor(cores(), mp_context=get_context("fork")) as pool:
        for done in [pool.submit(_party, folder, number, silos, count, studies) for number in range(silos + 1)]:
            done.result()


def _party(folder: Path, number: int, silos: int, count: int, studies: int) -> None:
    signed = [study(silos, count, one) for one in range(studies)]
    facts = _hub(signed, count) if number == 0 else _silo(number, signed, count)
    write(folder / (name(number).rsplit("/", 1)[-1]) / "ledger", name(number), key(number), facts)


def _silo(number: int, signed: list[Study], count: int) -> Iterator[Fact]:
    silo = f"silo-{number}"
    yield "enrolled", {"silo": silo, "consortium": "bench", "certificate_fingerprint": "ab" * 32}
    yield (
        "cohort",
        {
            "cohort": f"chest-{number}",
            "digest": f"{number:064x}",
            "patients": 900 + number,
            "images": 1500,
            "quarantined": {},
            "profile": "DICOM PS3.15 Basic Profile",
            "table_edition": "2026b",
            "overlaps": [],
            "patients_commitment": f"{number:064x}",
        },
    )
    for one in signed:
        yield (
            "approved",
            {
                "study": one.name,
                "study_digest": one.digest().hex(),
                "cohort": f"chest-{number}",
                "roster_code": one.roster.code,
                "confirmed": [{"silo": other.name, "how": "telephone"} for other in one.roster.silos],
                "by": f"Dr. {number}",
                "cap_epsilon": 30.0,
                "cap_delta": 1e-5,
                "planned_event": _event(one, count),
            },
        )
        yield from rounds(one, 6 * count, f"chest-{number}")


def _hub(signed: list[Study], count: int) -> Iterator[Fact]:
    for one in signed:
        digest = one.digest().hex()
        yield "study_published", {"study_digest": digest}
        for number in range(1, count + 1):
            about: dict[str, Json] = {"study_digest": digest, "round": number}
            silos: list[Json] = list(range(1, len(one.roster.silos) + 1))
            yield "survivors", {**about, "survivors": f"{number:064x}", "silos": silos}
            yield "closed", {**about, "outcome": "closed", "chain": f"{number:064x}"}


def rounds(one: Study, most: int, cohort: str = "chest") -> Iterator[Fact]:
    """What a silo enters in its rounds, `most` entries in all."""
    digest, event = one.digest().hex(), _event(one, 1)
    for entry in range(most):
        about: dict[str, Json] = {"study_digest": digest, "round": entry // 6 + 1}
        heads: list[Json] = [
            {"party": party.name, "size": entry, "root": f"{entry:064x}"} for party in one.roster.silos[1:]
        ]
        yield (
            ("round_opened", about),
            ("reserved", {**about, "cohort": cohort, "event": event}),
            ("spent", {**about, "cohort": cohort, "event": event}),
            ("survivors_signed", {**about, "survivors": f"{entry:064x}"}),
            ("closed", {**about, "outcome": "closed", "chain": f"{entry:064x}"}),
            ("witnessed", {**about, "heads": heads}),
        )[entry % 6]


def _event(one: Study, steps: int) -> dict[str, Json]:
    return to_json(DpSgdEvent(RATE, one.privacy.noise_multiplier or NOISE[0], steps))


def write(folder: Path, origin: str, secret: Ed25519PrivateKey, facts: Iterable[Fact]) -> None:
    """A valid ledger without the waiting: one write, and a head at the end."""
    Ledger.create(folder, origin, secret).close()
    tree, at = Frontier(), START
    with (folder / files.ENTRIES).open("wb") as file:
        for kind, body in facts:
            at += timedelta(seconds=7)
            line = make(tree.size, at, kind, body, tree.root(), origin, secret).line()
            file.write(line + b"\n")
            tree.append(leaf_hash(line))
    (folder / files.HEAD).write_bytes(files.head_bytes(origin, tree.size, tree.root(), secret))


def key(number: int) -> Ed25519PrivateKey:
    """The identity key of a party; 0 is the aggregator. Known to everybody: this is no consortium."""
    return Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))


def name(number: int) -> str:
    """The SPIFFE ID of a party."""
    return f"spiffe://bench/silo/silo-{number}" if number else f"spiffe://bench/aggregator/{HUB}"


def study(silos: int, count: int, number: int) -> Study:
    """A study of the benchmark's consortium."""

    def party(index: int) -> dict[str, Json]:
        return {"name": name(index).rsplit("/", 1)[-1], "identity": key(index).public_key().public_bytes_raw().hex()}

    return Study.model_validate_json(
        json.dumps(
            {
                "format": "collegium-study/1",
                "name": f"study-{number}",
                "consortium": "bench",
                "description": "Pneumonia on chest radiographs.",
                "task": {"kind": "binary_classification", "label": "pneumonia"},
                "model": {"name": "densenet", "seed": 1},
                "transforms": [{"name": "resize", "parameters": {"size": 64}}],
                "training": {"rounds": min(count, 1000), "local_steps": 1, "learning_rate": 0.1},
                "privacy": {
                    "mechanism": "dp_sgd",
                    "clip": 1.0,
                    "sampling_rate": RATE,
                    "lot_size": 128,
                    "epsilon": 8.0,
                    "delta": 1e-5,
                    "noise_multiplier": NOISE[number % len(NOISE)],
                },
                "roster": {
                    "threshold": silos,
                    "steward": "silo-1",
                    "aggregator": party(0),
                    "silos": [party(index) for index in range(1, silos + 1)],
                },
            }
        )
    )


if __name__ == "__main__":
    main()

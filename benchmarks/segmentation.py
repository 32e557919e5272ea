"""Dice on real MRI volumes, learned by three silos and an aggregator as processes, with and without privacy.

Prints one JSON object. The unit of privacy is the volume: the data has no patient key. Volumes are dealt to splits and
silos by SHA-256 of their file's name. Each silo ingests its own NIfTI files and masks from a listing; updates and
metrics travel encrypted, and the test split is evaluated in the encrypted sum. A seed is that of the public initial
weights; sampling and noise have none.
"""

import argparse
import csv
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from deploy.sandbox import draft
from deploy.sandbox.draft import Choices
from deploy.sandbox.processes import Processes
from deploy.sandbox.progress import Display
from deploy.sandbox.runner import ENVIRONMENT, LABELLING, LISTING, Consortium, Order
from privacy.errors import CollegiumError, DataError

HERE: Final = Path(__file__).parent
SILOS: Final = ("north", "harbour", "hill")
DELTA: Final = 1e-3
PRIVATE: Final[Mapping[str, Any]] = {
    "transforms": [
        {"name": "orient"},
        {"name": "standardise"},
        {"name": "crop-or-pad", "parameters": {"size": [48, 64, 48]}},
        {"name": "resize", "parameters": {"size": [24, 32, 24]}},
    ],
    "model": {"parameters": {"widths": [8, 16], "strides": [2], "residual_units": 1}},
    "training": {"rounds": 150, "local_steps": 1, "learning_rate": 0.2, "momentum": 0.0},
    "aggregation": {"average_decay": 0.9},
    "privacy": {"mechanism": "dp_sgd", "delta": DELTA, "clip": 1.0, "sampling_rate": 1.0, "lot_size": 57},
}
"""What differs with differential privacy: half the resolution (Dice is then measured at that), a smaller network, every
volume in every step, one step a round, and the moving average of the models."""


def deal(data: Path, destination: Path) -> tuple[tuple[Path, ...], dict[str, list[int]]]:
    """A folder with listing, labels and labelling for each silo, and how many volumes of each split it has.

    Of ten volumes two are for testing and one for validation.
    """
    sources = tuple(destination / silo for silo in SILOS)
    for source in sources:
        (source / "masks").mkdir(parents=True)
        shutil.copy(HERE / "segmentation_labelling.yaml", source / LABELLING)
    rows: list[list[tuple[str, str, str]]] = [[] for _ in SILOS]
    for image in sorted((data / "images").glob("*.nii.gz")):
        number = int.from_bytes(hashlib.sha256(image.name.encode()).digest()[:8], "big")
        silo = number // 10 % len(SILOS)
        shutil.copy(image, sources[silo] / image.name)
        shutil.copy(data / "labels" / image.name, sources[silo] / "masks" / image.name)
        split = ("test", "test", "val")[number % 10] if number % 10 < 3 else "train"
        rows[silo].append((image.name, image.name.split(".")[0], split))
    for source, members in zip(sources, rows, strict=True):
        listed = [("file", "patient", "mask"), *((file, patient, f"masks/{file}") for file, patient, _ in members)]
        labelled = [("patient", "split"), *((patient, split) for _, patient, split in members)]
        for name, lines in ((LISTING, listed), ("labels.csv", labelled)):
            with (source / name).open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(lines)
    splits = ("train", "val", "test")
    return sources, {split: [sum(row[2] == split for row in members) for members in rows] for split in splits}


def run(out: Path, sources: tuple[Path, ...], epsilon: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One run of the whole consortium; the last model is evaluated on `arguments.split`."""
    began = time.monotonic()
    out.mkdir()
    chosen = Choices(rounds=arguments.rounds, evaluate_on=arguments.split, model_seed=arguments.seed)
    study = draft.make(HERE / "segmentation.yaml", SILOS, chosen)
    if epsilon != "none":
        for section, changes in PRIVATE.items():
            study[section] = study.get(section, {}) | changes if isinstance(changes, dict) else changes
        study["privacy"]["epsilon"] = float(epsilon)
        study["training"]["rounds"] = arguments.rounds or study["training"]["rounds"]
    study["evaluation"]["every"] = arguments.every
    screen = Console(stderr=True)
    screen.print(f"epsilon {epsilon}, seed {arguments.seed}", highlight=False)
    with Processes(Path(sys.executable).parent, out / "logs", ENVIRONMENT) as processes:
        outcome = Consortium(Order(out, SILOS, sources, study), processes, Display(screen)).run()
    rounds = outcome.study.training.rounds
    evaluations = outcome.silos[0].evaluations
    shutil.rmtree(out)
    return {
        "metrics": {name: round(value, 4) for name, value in evaluations[rounds].items()},
        "dice_by_round": {number: round(found["dice"], 4) for number, found in sorted(evaluations.items())},
        "epsilon_spent": outcome.epsilon,
        "seconds": round(time.monotonic() - began, 1),
        "seconds_rounds": round(outcome.seconds_rounds, 1),
        "upload_bytes": outcome.silos[0].upload_bytes,
        "parameters": outcome.silos[0].parameters,
        "study": {key: study[key] for key in ("model", "training", "privacy")},
    }


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.segmentation", description=__doc__)
    parser.add_argument("--epsilon", nargs="+", default=["none", "8"], help="'none' or numbers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--split", choices=("val", "test"), default="test", help="settings are chosen on val alone")
    parser.add_argument("--every", type=int, default=0, help="also evaluate every so many rounds")
    arguments = parser.parse_args()
    data = Path(os.environ.get("COLLEGIUM_SHARED_DATA", HERE.parents[1] / "shared" / "data")) / "hippocampus"
    if not (data / "images").is_dir():
        raise DataError(f"no data set in {data}; set COLLEGIUM_SHARED_DATA to the folder that holds hippocampus")
    with tempfile.TemporaryDirectory(prefix="collegium-segmentation-") as scratch:
        sources, volumes = deal(data, Path(scratch) / "data")
        results = {
            epsilon: run(Path(scratch) / f"epsilon-{epsilon}", sources, epsilon, arguments)
            for epsilon in arguments.epsilon
        }
    about = {"unit": "volume", "seed": arguments.seed, "split": arguments.split, "volumes": volumes}
    print(json.dumps(about | {"cores": os.cpu_count(), "results": results}))


if __name__ == "__main__":
    try:
        main()
    except CollegiumError as error:
        sys.exit(f"error: {error}")

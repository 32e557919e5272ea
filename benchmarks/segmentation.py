"""Dice on real MRI volumes, learned by three silos without differential privacy and at an epsilon.

Prints one JSON object. The unit of privacy is the volume: the data has no patient key. Volumes are dealt to splits and
silos by SHA-256 of their file's name. Every silo is the learner that a silo runs (transforms, per-volume gradients,
clipping, noise, metrics as counts) and the server's step is that of `silo_node.server_optimizer`; what is not run here
is the network between them: the sums are exact either way. A seed is that of the public initial weights. The test
split is read once a run.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nibabel
import numpy as np
import torch

from deploy.sandbox import draft
from deploy.sandbox.draft import Choices
from privacy.dp import accounting
from privacy.errors import CollegiumError, DataError
from privacy.randomness import SecureStream
from privacy.study import Study
from silo_node import server_optimizer, tasks
from silo_node.examples import Stored
from silo_node.learner import Learner

HERE: Final = Path(__file__).parent
SILOS: Final = ("north", "harbour", "hill")
DELTA: Final = 1e-3
PRIVATE: Final[Mapping[str, Any]] = {
    "model": {"parameters": {"widths": [8, 16], "strides": [2], "residual_units": 1}},
    "training": {"rounds": 100, "local_steps": 1, "learning_rate": 0.5, "momentum": 0.0},
    "privacy": {"mechanism": "dp_sgd", "delta": DELTA, "clip": 1.0, "sampling_rate": 1.0, "lot_size": 57},
}
"""What differs with differential privacy: every volume in every step, a smaller network, one step a round."""


@dataclass(frozen=True)
class NiftiVolume:
    """One volume with its mask, as a patient of its own."""

    image: Path
    mask: Path
    count: int = 1

    def load(self, image: int) -> Stored:
        """See `StoredPatient.load`."""
        volume = nibabel.load(self.image)
        return np.asarray(volume.dataobj), volume.affine, np.asarray(nibabel.load(self.mask).dataobj).astype(np.uint8)


@dataclass(frozen=True)
class Shard:
    """The volumes of one silo, or the test split."""

    volumes: Mapping[str, tuple[NiftiVolume, ...]]

    def patients(self, split: str) -> Sequence[NiftiVolume]:
        """See `StoredCohort.patients`."""
        return self.volumes.get(split, ())


def deal(data: Path) -> tuple[Shard, ...]:
    """The shard of each silo: of ten volumes two are for testing and one for validation."""
    dealt: list[dict[str, list[NiftiVolume]]] = [{"train": [], "val": [], "test": []} for _ in SILOS]
    for image in sorted((data / "images").glob("*.nii.gz")):
        number = int.from_bytes(hashlib.sha256(image.name.encode()).digest()[:8], "big")
        split = ("test", "test", "val")[number % 10] if number % 10 < 3 else "train"
        dealt[number // 10 % len(SILOS)][split].append(NiftiVolume(image, data / "labels" / image.name))
    return tuple(Shard({split: tuple(members) for split, members in shard.items()}) for shard in dealt)


def study(epsilon: str, seed: int, rounds: int | None) -> Study:
    """The study of a run, complete but unsigned; parties are made up."""
    made = draft.make(HERE / "segmentation.yaml", SILOS, Choices(model_seed=seed))
    if epsilon != "none":
        for section, changes in PRIVATE.items():
            made[section] |= changes
        made["privacy"]["epsilon"] = float(epsilon)
    if rounds is not None:
        made["training"]["rounds"] = rounds
    if epsilon != "none":
        private, plan = made["privacy"], made["training"]
        private["noise_multiplier"] = accounting.calibrate(
            private["epsilon"], DELTA, private["sampling_rate"], plan["rounds"] * plan["local_steps"]
        )
    parties = [{"name": name, "identity": hashlib.sha256(name.encode()).hexdigest()} for name in (*SILOS, "adder")]
    made["roster"] = {"threshold": 3, "steward": SILOS[0], "aggregator": parties[-1], "silos": parties[:-1]}
    return Study.model_validate_json(json.dumps(made))


def run(shards: Sequence[Shard], said: Study, *, progress: bool) -> dict[str, Any]:
    """Train for all rounds and evaluate the last model once on the test split."""
    began = time.monotonic()
    learners = [Learner(said, shard, SecureStream()) for shard in shards]
    task = tasks.task(said)
    model = server_optimizer.OptimizerState.initial(learners[0].initial_vector())
    for number in range(1, said.training.rounds + 1):
        updates = [learner.train(model.weights, number).consume() for learner in learners]
        model = server_optimizer.step(model, np.mean(updates, axis=0), said.aggregation)
        if progress and number % 4 == 0:
            counts = np.sum([learner.evaluate(model.released(said.aggregation)) for learner in learners], axis=0)
            dice = task.summarise(counts).values["dice"]
            print(f"round {number}: dice {dice} (val), {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    seconds = time.monotonic() - began
    tested = said.model_copy(update={"evaluation": said.evaluation.model_copy(update={"split": "test"})})
    total = np.sum(
        [Learner(tested, shard, SecureStream()).evaluate(model.released(said.aggregation)) for shard in shards], axis=0
    )
    metrics = task.summarise(total)
    return {
        "dice": {name: round(value, 4) for name, value in metrics.values.items() if value is not None},
        "test_volumes": metrics.patients,
        "seconds": round(seconds, 1),
        "seconds_a_round": round(seconds / said.training.rounds, 2),
        "parameters": model.weights.size,
        "study": {key: said.model_dump(mode="json")[key] for key in ("model", "training", "aggregation", "privacy")},
    }


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.segmentation", description=__doc__)
    parser.add_argument("--epsilon", nargs="+", default=["none", "8"], help="'none' or numbers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--progress", action="store_true", help="validation Dice every four rounds, on standard error")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    data = Path(os.environ.get("COLLEGIUM_SHARED_DATA", HERE.parents[1] / "shared" / "data")) / "hippocampus"
    if not (data / "images").is_dir():
        raise DataError(f"no data set in {data}; set COLLEGIUM_SHARED_DATA to the folder that holds hippocampus")
    shards = deal(data)
    results = {
        epsilon: run(shards, study(epsilon, arguments.seed, arguments.rounds), progress=arguments.progress)
        for epsilon in arguments.epsilon
    }
    volumes = {split: [len(shard.patients(split)) for shard in shards] for split in ("train", "val", "test")}
    print(json.dumps({"unit": "volume", "seed": arguments.seed, "volumes": volumes, "results": results}))


if __name__ == "__main__":
    try:
        main()
    except CollegiumError as error:
        sys.exit(f"error: {error}")

"""Test AUC on real chest X-rays, trained by a whole consortium of real processes.

Prints one JSON object. `make -s benchmark-cxr` runs all of it (three privacy levels, three seeds, and one seed
where prevalence and scanner differ by silo); `--epsilon`, `--seeds` and `--partition` run a part.
A seed is that of the public initial weights: sampling and noise come from a CSPRNG that nothing seeds.
The test split is read once a run, from the exported model, by `cxr_scores`. `auc_single_silo` trains
in this process on one silo's patients with the silo's own code, without aggregator or encryption.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console

from benchmarks.cxr_scores import TestSplit, load_export
from deploy.sandbox import draft
from deploy.sandbox.draft import COHORT, Choices
from deploy.sandbox.processes import Processes
from deploy.sandbox.progress import Display
from deploy.sandbox.runner import ENVIRONMENT, Consortium, Order, Outcome
from deploy.sandbox.wrap import Partition, wrap
from privacy.dp.gradients import set_vector
from privacy.errors import CollegiumError, DataError
from privacy.randomness import SecureStream
from privacy.study import Study
from silo_node.cohorts.ingestion import open_cohort
from silo_node.learning.learner import Learner
from silo_node.learning.transformed import TransformedImages
from silo_node.rounds import server_optimizer
from silo_node.state import StateDirectory

HERE = Path(__file__).parent
SILOS = ("north", "harbour", "hill")
EPSILONS = ("none", "8", "3")
RATE_AND_CLIP = {"none": (1.0, 2.0), "8": (1.0, 0.5), "3": (1.0, 0.25)}
"""Local learning rate and clip by epsilon, chosen on the validation split."""
Results = dict[str, list[dict[str, Any]]]


def main() -> None:
    """Parse, run, print."""
    arguments = _arguments()
    began = time.monotonic()
    data = Path(os.environ.get("COLLEGIUM_SHARED_DATA", HERE.parents[1] / "shared" / "data")) / "pediatric_cxr"
    if not (data / "manifest.csv").is_file():
        raise DataError(f"no data set in {data}; set COLLEGIUM_SHARED_DATA to the folder that holds pediatric_cxr")
    results: dict[str, Results] = {}
    with tempfile.TemporaryDirectory(prefix="collegium-cxr-") as scratch:
        for partition in arguments.partition:
            folder = Path(scratch) / partition
            wrap(data, folder, SILOS, Partition(partition))
            sources = tuple(folder / silo for silo in SILOS)
            seeds = arguments.seeds if partition == "hash" else arguments.seeds[:1]
            test = TestSplit.read(sources)
            results[partition] = {
                epsilon: [
                    _measure(Path(scratch) / f"{partition}-{epsilon}-{seed}", sources, test, epsilon, seed, arguments)
                    for seed in seeds
                ]
                for epsilon in arguments.epsilon
            }
    print(json.dumps(_report(results, arguments, time.monotonic() - began)))


def _measure(
    out: Path, sources: tuple[Path, ...], test: TestSplit, epsilon: str, seed: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """One run of the whole consortium, its test AUC, and each silo's alone."""
    began = time.monotonic()
    out.mkdir()
    chosen = Choices(rounds=arguments.rounds, epsilon=0 if epsilon == "none" else float(epsilon), model_seed=seed)
    study = draft.make(HERE / "cxr.yaml", SILOS, chosen)
    study["training"]["learning_rate"], study["privacy"]["clip"] = RATE_AND_CLIP.get(epsilon, RATE_AND_CLIP["8"])
    console = Console(stderr=True)
    console.print(f"{out.name}: epsilon {epsilon}, seed {seed}", highlight=False)
    with Processes(Path(sys.executable).parent, out / "logs", ENVIRONMENT) as processes:
        outcome = Consortium(Order(out, SILOS, sources, study), processes, Display(console)).run()
    images, patients = test.auc(load_export(outcome.models[0]))
    whole = time.monotonic() - began
    alone = [] if arguments.no_single else [_alone(outcome, out / "silos" / silo, test) for silo in SILOS]
    shutil.rmtree(out)
    return {
        "auc": images,
        "auc_by_patient": patients,
        "auc_validation": outcome.silos[0].evaluations[outcome.study.training.rounds]["auc"],
        "auc_alone": alone,
        "epsilon_spent": outcome.epsilon,
        "seconds": whole,
        "seconds_rounds": outcome.seconds_rounds,
        "upload_bytes": outcome.silos[0].upload_bytes,
        "parameters": outcome.silos[0].parameters,
    }


def _alone(outcome: Outcome, state: Path, test: TestSplit) -> float:
    """Test AUC (over images) of a model that one silo trains by itself with the same study."""
    study: Study = outcome.study
    directory = StateDirectory(state)
    disk = TransformedImages(directory.study(study.name).transformed, directory.cohort_key(), study.digest())
    learner = Learner(study, open_cohort(directory, COHORT), SecureStream(), disk)
    model = server_optimizer.OptimizerState.initial(learner.initial_vector())
    for number in range(1, study.training.rounds + 1):
        model = server_optimizer.step(model, learner.train(model.weights, number).consume(), study.aggregation)
    network = load_export(outcome.models[0])
    set_vector(network, model.released(study.aggregation))
    return test.auc(network)[0]


def _report(results: dict[str, Results], arguments: argparse.Namespace, seconds: float) -> dict[str, Any]:
    first = results[arguments.partition[0]]
    a_run = next(iter(first.values()))[0]
    return {
        **_figures(first),
        "seeds": arguments.seeds,
        "seconds": round(seconds, 1),
        "partitions": {name: _figures(figures) for name, figures in results.items()},
        "settings": {
            "study": draft.make(HERE / "cxr.yaml", SILOS, Choices(rounds=arguments.rounds)),
            "rate_and_clip": {epsilon: RATE_AND_CLIP.get(epsilon, RATE_AND_CLIP["8"]) for epsilon in arguments.epsilon},
            "parameters": a_run["parameters"],
            "upload_bytes": a_run["upload_bytes"],
            "partition": arguments.partition[0],
            "auc_over": "images of the test split; auc_by_patient over patients",
            "single_silo": "mean over silos of a model trained in process on one silo's patients, same study",
        },
    }


def _figures(results: Results) -> dict[str, Any]:
    def rounded(key: str) -> dict[str, list[float]]:
        return {epsilon: [round(run[key], 4) for run in runs] for epsilon, runs in results.items()}

    def means(key: str) -> dict[str, float]:
        return {epsilon: round(mean(run[key] for run in runs), 4) for epsilon, runs in results.items()}

    figures = {
        "auc": means("auc"),
        "auc_each": rounded("auc"),
        "auc_by_patient": means("auc_by_patient"),
        "auc_validation": means("auc_validation"),
        "seconds_each": rounded("seconds"),
        "seconds_rounds": rounded("seconds_rounds"),
        "epsilon_spent": {epsilon: runs[0]["epsilon_spent"] for epsilon, runs in results.items()},
    }
    single = {epsilon: [auc for run in runs for auc in run["auc_alone"]] for epsilon, runs in results.items()}
    figures["auc_single_silo"] = {epsilon: round(mean(values), 4) for epsilon, values in single.items() if values}
    return figures


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cxr", description=__doc__)
    parser.add_argument("--epsilon", nargs="+", default=list(EPSILONS), help="'none' or numbers")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--partition", nargs="+", choices=[p.value for p in Partition], default=["hash", "prevalence"])
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--no-single", action="store_true", help="leave out training at one silo alone")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except CollegiumError as error:
        sys.exit(f"error: {error}")

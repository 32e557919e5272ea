"""The study draft and the hospital policies of a sandbox run, made from a template and a few choices."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from privacy.errors import ConfigError, DataError

TEMPLATE = Path(__file__).parents[1] / "samples" / "study.yaml"
COHORT = "chest"
CONSORTIUM = "sandbox"
AGGREGATOR = "adder"


@dataclass(frozen=True)
class Choices:
    """What a run changes in the template; None leaves it as it is.

    `epsilon` of 0 trains without differential privacy.
    """

    rounds: int | None = None
    epsilon: float | None = None
    evaluate_on: str | None = None
    model_seed: int | None = None


def make(template: Path, silos: tuple[str, ...], choices: Choices) -> dict[str, Any]:
    """The draft: the template with the roster of this run and the choices filled in.

    Raises:
        ConfigError: the template cannot be read or is not a study draft. Only its outline is looked at
            here; `collegium-consortium study sign` checks the rest.
    """
    try:
        study: dict[str, Any] = yaml.safe_load(template.read_text(encoding="utf-8"))
        training, privacy, evaluation, model = (study[key] for key in ("training", "privacy", "evaluation", "model"))
        if not all(isinstance(part, dict) for part in (training, privacy, evaluation, model)):
            raise TypeError("a part is no mapping")
    except (OSError, yaml.YAMLError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ConfigError(f"{template.name} is not a study draft; compare it with deploy/samples/study.yaml") from error
    if choices.rounds is not None:
        training["rounds"] = choices.rounds
    if choices.epsilon == 0:
        privacy["mechanism"] = "none"
        for key in ("epsilon", "delta", "noise_multiplier"):
            privacy.pop(key, None)
    elif choices.epsilon is not None:
        privacy["epsilon"] = choices.epsilon
    if choices.evaluate_on is not None:
        evaluation["split"] = choices.evaluate_on
    if choices.model_seed is not None:
        model["seed"] = choices.model_seed
    study["consortium"] = CONSORTIUM
    study["roster"] = {"steward": silos[0], "aggregator": AGGREGATOR, "silos": list(silos)}
    return study


def policy(study: dict[str, Any]) -> dict[str, Any]:
    """A `silo.yaml` that allows this study and nothing else."""
    privacy = study["privacy"]
    return {
        "policy": {
            "max_epsilon": privacy.get("epsilon", 1.0),
            "delta": privacy.get("delta", 1e-4),
            "allowed_tasks": [study["task"]["kind"]],
            "allowed_models": [study["model"]["name"]],
            "cohorts": [COHORT],
            "allow_without_dp": privacy["mechanism"] == "none",
        }
    }


def planned_lot(sources: tuple[Path, ...], sampling_rate: float) -> int:
    """A divisor for data of unknown size: the rate times the mean number of training patients, to two digits.

    A sandbox may count its patients, as all of them are on this machine. A real study states a
    planned number, since a counted one depends on patients.

    Raises:
        DataError: there is no table with a column `split`.
    """
    counts = []
    for source in sources:
        try:
            with (source / "labels.csv").open(newline="", encoding="utf-8") as file:
                counts.append(sum(row["split"] == "train" for row in csv.DictReader(file)))
        except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
            raise DataError("labels.csv is missing or no table with a column 'split'; correct it") from error
    return max(1, int(float(f"{sampling_rate * sum(counts) / len(counts):.2g}")))

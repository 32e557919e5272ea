"""Studies for tests, without a consortium: every key is made up."""

import json
from typing import Any

from privacy.study import Study

NAMES = tuple(f"silo-{letter}" for letter in "abcdefghijklmnop")


def key(number: int) -> str:
    """A made-up identity key, hex."""
    return f"{number:064x}"


def draft(silos: int = 3, threshold: int | None = None, **changes: Any) -> dict[str, Any]:
    """A study as plain data; `changes` replace whole sections."""
    return {
        "format": "collegium-study/1",
        "name": "trial",
        "consortium": "chest-net",
        "task": {"kind": "binary_classification", "label": "opacity"},
        "model": {"name": "resnet", "seed": 1},
        "transforms": [{"name": "standardise"}],
        "training": {"rounds": 20, "local_steps": 1, "learning_rate": 0.5},
        "privacy": {
            "mechanism": "dp_sgd",
            "epsilon": 8.0,
            "delta": 1e-4,
            "clip": 1.0,
            "sampling_rate": 0.25,
            "lot_size": 100,
            "noise_multiplier": 2.0,
        },
        "encryption": {"length": 10_000},
        "roster": {
            "threshold": silos if threshold is None else threshold,
            "steward": NAMES[0],
            "aggregator": {"name": "hub", "identity": key(999)},
            "silos": [{"name": NAMES[index], "identity": key(index)} for index in range(silos)],
        },
    } | changes


def parsed(data: dict[str, Any]) -> Study:
    """A study out of plain data."""
    return Study.model_validate_json(json.dumps(data))


def study(silos: int = 3, threshold: int | None = None, **changes: Any) -> Study:
    """A valid study."""
    return parsed(draft(silos, threshold, **changes))

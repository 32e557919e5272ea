"""The final model as files that plain MONAI code loads, with a model card for people and programs.

`imaging.export` writes the weights and how to build the network; the card says what the model is,
who took part in which rounds, at what privacy cost to whom, and what is not promised. Every number
comes from the ledger, the study or the stored model; global metrics come from the rounds' own sums.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imaging import export as files
from imaging.bundles import writing as bundles
from privacy import durable
from privacy.console import user_name
from privacy.digest import Json
from privacy.dp.events import to_json
from privacy.errors import ConfigError
from privacy.ledger.entry import Entry
from privacy.ledger.store import Ledger
from privacy.study import Study
from silo_node.approvals.costs import round_event
from silo_node.imaging_errors import imaging_errors
from silo_node.learning import tasks
from silo_node.rounds import participation
from silo_node.rounds.global_model import GlobalModel

BUNDLE = "bundle"
"""Folder of the same model as a MONAI Bundle."""


@dataclass(frozen=True)
class Card:
    """The model card as plain data."""

    data: dict[str, Json]

    def markdown(self) -> str:
        """The same facts for a person."""
        data = self.data
        rounds = data["rounds"]
        privacy = data["privacy"]
        lines = [
            f"# {data['study']}",
            "",
            str(data["description"]).strip() or "(no description)",
            "",
            f"- Task: {data['task']} of '{data['label']}'",
            f"- Network: MONAI {data['network']}, {data['parameters']} parameters",
            f"- Trained: {rounds} rounds over {data['silos']} hospitals; no image left one, and no update unencrypted",
            *(f"- {line}" for line in _parts(data["participation"])),
            f"- Weights: `model.safetensors`, SHA-256 `{data['weights_sha256']}`",
            f"- Study digest: `{data['study_digest']}`",
            f"- Privacy: {privacy}",
            *(f"- {line}" for line in _beginning(data["starting_weights"])),
            "",
            "## Load it",
            "",
            "```python",
            files.LOADING_SNIPPET.strip(),
            "```",
            "",
            "## What is not promised",
            "",
            *(f"- {line}" for line in data["limits"] if isinstance(data["limits"], list)),  # type: ignore[union-attr]
            "",
        ]
        return "\n".join(lines)


def _parts(participation: Json) -> tuple[str, ...]:
    """In how many of the sums that were seen each hospital was: all, or since when no more."""
    if not isinstance(participation, dict) or not isinstance(participation["silos"], list):
        raise TypeError("the card's participation is not what `card` makes")
    seen = participation["sums_seen"]
    silos = [one for one in participation["silos"] if isinstance(one, dict)]
    if all(one["sums"] == seen for one in silos):
        return (f"Hospitals in the sums: all of them in each of {seen}",)
    last = [f" (last: round {one['last']})" if one["sums"] else "" for one in silos]
    words = [f"{one['silo']} in {one['sums']}{when}" for one, when in zip(silos, last, strict=True)]
    return (f"Hospitals in the sums, of {seen} that were seen: {', '.join(words)}",)


def _beginning(sha256: Json) -> tuple[str, ...]:
    """What is to say of public weights that training started from; of what they were made, nobody here knows."""
    if sha256 is None:
        return ()
    return (
        f"Started from: public weights, safetensors file with SHA-256 `{sha256}`; the data that these were trained on "
        "is not covered by the privacy stated here",
    )


def card(study: Study, model: GlobalModel, parameters: int, weights_sha256: str, entries: Sequence[Entry] = ()) -> Card:
    """The card of a finished model; `entries` of this silo's ledger say who took part in which rounds."""
    seen, parts = participation.of_all(entries, study.digest().hex(), study.roster)
    privacy = study.privacy
    if privacy.mechanism == "none":
        guarantee = "none; single patients are not protected"
    else:
        guarantee = (
            f"patient-level (epsilon {privacy.epsilon:g}, delta {privacy.delta:g})-differential privacy at each "
            "hospital, add/remove one patient, noise added locally"
        )
    return Card(
        {
            "format": "collegium-model-card/1",
            "study": study.name,
            "consortium": study.consortium,
            "description": study.description,
            "study_digest": study.digest().hex(),
            "task": study.task.kind,
            "label": study.task.label,
            "network": study.model.name,
            "network_parameters": study.model.model_dump(mode="json")["parameters"],
            "transforms": [step.model_dump(mode="json") for step in study.transforms],
            "parameters": parameters,
            "rounds": model.round_number - 1,
            "silos": len(study.roster.silos),
            "participation": {"sums_seen": seen, "silos": [part.as_json() for part in parts]},
            "chain": model.chain.hex(),
            "weights_sha256": weights_sha256,
            "starting_weights": study.model.pretrained.sha256 if study.model.pretrained else None,
            "frozen": list(study.model.freeze),
            "privacy": guarantee,
            "privacy_event": to_json(round_event(study, study.training.rounds)),
            "limits": [
                "Not a medical device; not validated for clinical use.",
                "A patient who is in the data of two hospitals is protected less than stated.",
                "Metrics on held-out patients were exact counts, not differentially private.",
                "A hospital that lies about its own update changes the model.",
            ],
        }
    )


def export(
    study: Study, model: GlobalModel, ledger: Ledger, destination: Path, starting_weights: Path | None = None
) -> Card:
    """Write `model.safetensors`, `model.json`, `card.json`, `card.md` and `bundle/`; the export is a ledger entry.

    The weights are whole: frozen ones, which were never sent, come from `starting_weights` or the study's seed.

    Raises:
        DataError: the starting weights are not those of the study.
        ConfigError: the study is not finished, or the destination has files in it.
        StorageError: the disk refused.
    """
    if model.round_number <= study.training.rounds:
        raise ConfigError(
            f"the study has {study.training.rounds - model.round_number + 1} rounds to go; run it to its end first",
            code="export.unfinished",
        )
    if destination.exists() and any(destination.iterdir()):
        raise ConfigError("the destination folder is not empty; name a new one", code="export.not_empty")
    begin = tasks.start(study, starting_weights)
    durable.make_folder(destination)
    weights = model.optimizer.released(study.aggregation)
    model_of = study.model
    with imaging_errors():
        files.write(
            model_of.name,
            model_of.parameters,
            weights.astype(np.float64),
            destination,
            tasks.task(study).problem,
            model_of.seed,
            model_of.freeze,
            begin,
        )
    sha256 = hashlib.sha256((destination / "model.safetensors").read_bytes()).hexdigest()
    made = card(study, model, weights.size, sha256, ledger.entries)
    durable.write(destination / "card.json", json.dumps(made.data, indent=2).encode())
    durable.write(destination / "card.md", made.markdown().encode())
    _bundle(study, made, destination)
    ledger.append(
        "exported",
        {"study_digest": study.digest().hex(), "round": model.round_number, "model_digest": sha256},
        {"by": user_name(), "to": str(destination.resolve())},
    )
    return made


def _bundle(study: Study, made: Card, destination: Path) -> None:
    """The same model as a MONAI Bundle."""
    steps = [step.model_dump(mode="json") for step in study.transforms]
    with imaging_errors():
        bundles.write(
            destination / BUNDLE,
            *bundles.exported(destination),
            tasks.transforms(study).shape,
            bundles.About(
                name=study.name,
                task=f"{study.task.kind} of '{study.task.label}'",
                description=study.description.strip() or "(no description)",
                authors=f"consortium {study.consortium}",
                outputs=study.task.classes or (study.task.label,),
                transforms=steps,
                readme=made.markdown(),
                licence=f"Who may use this model, and how, is for the consortium {study.consortium} to say. "
                "This file grants nothing.\n",
            ),
        )

"""A consortium's evidence, written with the real ledger and the real study signature."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.digest import Json
from privacy.dp.events import DpEvent, DpSgdEvent, UnprotectedEvent, to_json
from privacy.ledger.store import Ledger
from privacy.study import Study, dump, sign

SILOS = ("alpha", "beta", "gamma")


def cheap(events: Sequence[DpEvent], delta: float) -> float:
    """A stand-in for an accountant: grows with steps, falls with delta, zero from delta 0.5."""
    if any(isinstance(event, UnprotectedEvent) for event in events):
        return float("inf")
    total = sum(
        event.steps * event.sampling_rate / event.noise_multiplier for event in events if isinstance(event, DpSgdEvent)
    )
    return max(0.0, total * (1 - 2 * delta))


@dataclass
class Consortium:
    """Keys, ledgers and a study; `root` is the folder of the evidence."""

    root: Path
    rounds: int = 20
    protected: bool = True
    name: str = "chest-pneumonia"
    slot: int = 0
    start: str | None = None
    keys: dict[str, Ed25519PrivateKey] = field(
        default_factory=lambda: {name: Ed25519PrivateKey.generate() for name in (*SILOS, "adder", "consortium")}
    )
    now: datetime = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)

    def clock(self) -> datetime:
        self.now += timedelta(seconds=7)
        return self.now

    @property
    def event(self) -> DpEvent:
        return DpSgdEvent(0.118, 1.45, 1) if self.protected else UnprotectedEvent(1)

    @property
    def study(self) -> Study:
        def party(name: str) -> dict[str, Json]:
            return {"name": name, "identity": self.keys[name].public_key().public_bytes_raw().hex()}

        privacy: dict[str, Json] = {"mechanism": "none", "clip": 1.0, "sampling_rate": 0.118, "lot_size": 128}
        if self.protected:
            privacy |= {"mechanism": "dp_sgd", "epsilon": 8.0, "delta": 1e-4, "noise_multiplier": 1.45}
        return Study.model_validate_json(
            json.dumps(
                {
                    "format": "collegium-study/1",
                    "name": self.name,
                    "consortium": "demo",
                    "description": "Pneumonia on chest radiographs of children.",
                    "task": {"kind": "binary_classification", "label": "pneumonia"},
                    "model": {"name": "densenet", "seed": 1}
                    | ({"pretrained": {"sha256": self.start}} if self.start else {}),
                    "transforms": [{"name": "resize", "parameters": {"size": 64}}],
                    "training": {"rounds": self.rounds, "local_steps": 1, "learning_rate": 0.1},
                    "aggregation": {"upload_slot_seconds": self.slot},
                    "privacy": privacy,
                    "roster": {
                        "threshold": 3,
                        "steward": "alpha",
                        "aggregator": party("adder"),
                        "silos": [party(name) for name in SILOS],
                    },
                }
            )
        )

    def publish(self) -> Path:
        path = self.root / "studies" / f"{self.name}.yaml"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(dump(sign(self.study, self.keys["consortium"])))
        return path

    def ledger(self, party: str) -> Ledger:
        folder = self.root / party / "ledger"
        if (folder / "origin.json").exists():
            return Ledger.open(folder, self.keys[party], self.clock)
        role = "aggregator" if party == "adder" else "silo"
        return Ledger.create(folder, f"spiffe://demo/{role}/{party}", self.keys[party], self.clock)

    def approve(self, silo: str, cohort: str = "chest", cap: float = 8.0) -> None:
        with self.ledger(silo) as ledger:
            if not ledger.entries:
                ledger.append("enrolled", {"silo": silo, "consortium": "demo", "certificate_fingerprint": "ab" * 32})
            if not any(entry.kind == "cohort" and entry.body["cohort"] == cohort for entry in ledger.entries):
                ledger.append("cohort", self._cohort(silo, cohort))
            others: list[Json] = [{"silo": name, "how": "telephone"} for name in SILOS if name != silo]
            ledger.append(
                "approved",
                {
                    "study": self.name,
                    "study_digest": self.study.digest().hex(),
                    "cohort": cohort,
                    "roster_code": self.study.roster.code,
                    "confirmed": others,
                    "by": f"Dr. {silo.title()}",
                    "cap_epsilon": cap,
                    "cap_delta": 1e-4,
                    "planned_event": to_json(self.event),
                },
            )

    def _cohort(self, silo: str, cohort: str) -> Mapping[str, Json]:
        size = 700 + 150 * SILOS.index(silo)
        return {
            "cohort": cohort,
            "digest": f"{silo}-{cohort}",
            "patients": size,
            "images": 2 * size - 31,
            "quarantined": {"dicom.truncated": 3, "dicom.no_pixels": 1} if silo == "beta" else {},
            "profile": "DICOM PS3.15 Basic Profile",
            "table_edition": "2026b",
            "overlaps": [],
            "patients_commitment": "ab" * 32,
        }

    def train(self, silo: str, number: int, cohort: str = "chest", ending: str = "closed") -> None:
        """One round at a silo; `ending` is closed, abandoned or killed (reserved and never finished)."""
        about: dict[str, Json] = {"study_digest": self.study.digest().hex(), "round": number}
        with self.ledger(silo) as ledger:
            ledger.append("round_opened", about)
            ledger.append("reserved", {**about, "cohort": cohort, "event": to_json(self.event)})
            if ending == "killed":
                return
            ledger.append("spent", {**about, "cohort": cohort, "event": to_json(self.event)})
            if ending == "closed":
                ledger.append("survivors_signed", {**about, "survivors": "cd" * 32})
            ledger.append("closed", {**about, "outcome": ending, "chain": "ef" * 32})

    def write(self, party: str, kind: str, **body: Json) -> None:
        with self.ledger(party) as ledger:
            ledger.append(kind, body)

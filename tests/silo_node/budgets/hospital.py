"""One hospital's state, with a folder of one image a patient, whose commands are run as a person would."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid
from typer.testing import CliRunner, Result

from privacy import durable
from privacy.dp.events import DpSgdEvent, to_json
from privacy.ledger.entry import Entry
from privacy.ledger.reader import read
from privacy.ledger.store import Ledger
from privacy.study import Study, dump, sign
from silo_node import configuration
from silo_node.app import app
from silo_node.cohorts import ingestion
from silo_node.configuration import Policy
from silo_node.state import StateDirectory
from tests.consortium import Consortium
from tests.privacy.studies import study

CLI = CliRunner()
POLICY: dict[str, Any] = {
    "max_epsilon": 8.0,
    "delta": 1e-4,
    "allowed_tasks": ["binary_classification"],
    "allowed_models": ["resnet"],
    "cohorts": ["chest", "again"],
}
WORDS = "a passphrase that is long"


@dataclass
class Hospital:
    """One hospital's state, with a folder of one image a patient."""

    consortium: Consortium
    state: Path

    @property
    def directory(self) -> StateDirectory:
        return StateDirectory(self.state)

    def open(self) -> Ledger:
        return self.directory.open_ledger(self.directory.identity())

    @property
    def entries(self) -> tuple[Entry, ...]:
        return read(self.state / "ledger").entries

    def policy(self, **changes: object) -> Policy:
        (self.state / "silo.yaml").write_text(yaml.safe_dump({"policy": {**POLICY, **changes}}))
        return configuration.read(self.state).policy

    def ingest(self, name: str, *patients: str) -> tuple[str, ...]:
        source = self.state.parent / f"source-{name}"
        source.mkdir(exist_ok=True)
        for number, patient in enumerate(patients):
            image(source / f"{number}.dcm", patient)
        labels = self.state.parent / f"{name}.csv"
        with labels.open("w", newline="") as file:
            rows = [("patient", "label", "split"), *((patient, 1, "train") for patient in patients)]
            csv.writer(file).writerows(rows)
        with durable.lock(self.state), self.open() as ledger:
            return ingestion.ingest(self.directory, ledger, ingestion.Request(name, source, labels)).overlaps

    def charge(self, cohort: str, steps: int = 10, number: int = 1, digest: str = "cd" * 32) -> None:
        event = to_json(DpSgdEvent(0.25, 2.0, steps))
        body = {"study_digest": digest, "cohort": cohort, "round": number, "event": event}
        with self.open() as ledger:
            ledger.append("reserved", body)

    def run(self, *arguments: object) -> Result:
        return CLI.invoke(app, [*(str(argument) for argument in arguments), "--state", str(self.state)])

    def set_cap(self, epsilon: float, *more: object, delta: float = 1e-4, cohort: str = "chest") -> Result:
        about = ("--cohort", cohort, "--epsilon", epsilon, "--delta", delta, "--reason", "a vote", "--by", "Ada Roe")
        return self.run("budget", "set", *about, *more, "--json")

    def signed(self, **changes: object) -> tuple[Path, Study]:
        """A study of this silo and two others, signed by the consortium."""
        made = study()
        key = self.directory.identity().keys.public_identity.hex()
        data = json.loads(made.model_dump_json()) | changes
        data["roster"]["silos"][0] = {"name": "north", "identity": key}
        data["roster"]["steward"] = "north"
        signed = Study.model_validate_json(json.dumps(data))
        path = self.state.parent / f"{signed.name}.yaml"
        path.write_text(dump(sign(signed, self.consortium.authority.study_key)))
        return path, signed

    def approve(self, path: Path, cohort: str = "chest") -> Result:
        confirmed = ("--confirm", "silo-b=phone", "--confirm", "silo-c=phone")
        return self.run("approve", path, "--cohort", cohort, "--by", "Ada Roe", *confirmed, "--yes")


def image(path: Path, patient: str) -> None:
    """A small radiograph."""
    pixels = np.random.default_rng(abs(hash((path.parent.name, patient)))).integers(0, 60000, (8, 8), dtype=np.uint16)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientID, dataset.Modality, dataset.BodyPartExamined = patient, "CR", "CHEST"
    dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 16, 16, 15
    dataset.PixelRepresentation, dataset.SamplesPerPixel = 0, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path, enforce_file_format=True)


def refused(ended: Result, kind: type[Exception], words: str) -> None:
    assert isinstance(ended.exception, kind), ended.output
    assert words in str(ended.exception)

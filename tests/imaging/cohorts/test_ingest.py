import csv
import errno
import json
import os
import stat

import numpy as np
import pytest
from pydicom.uid import generate_uid

from imaging import sealing
from imaging.cohorts import dicom_source, index
from imaging.cohorts import ingest as ingesting
from imaging.cohorts.cohort import Cohort
from imaging.cohorts.dicom_source import DicomFolder
from imaging.deidentification import Pseudonyms
from imaging.errors import ImagingError

KEY = bytes(range(32))
SEALING = bytes(32)


class Hospital:
    """A folder of files, a label file, and where cohorts go."""

    def __init__(self, root, make_dicom, encoded):
        self.source, self.cohorts, self.labels = root / "source", root / "cohorts", root / "labels.csv"
        self.source.mkdir()
        self.cohorts.mkdir()
        self._make, self._encoded, self._images = make_dicom, encoded, 0

    def image(self, name, patient, **attributes):
        self._images += 1
        pixels = np.random.default_rng(self._images).integers(0, 60000, (16, 12), dtype=np.uint16)
        self.file(name, self._encoded(self._make(attributes.pop("pixels", pixels), PatientID=patient, **attributes)))

    def file(self, name, data):
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def label(self, *rows):
        with self.labels.open("w", newline="") as file:
            csv.writer(file).writerows([("patient", "label", "split"), *rows])

    def ingest(self, name="chest", key=KEY, **more):
        source = DicomFolder(self.source, self.cohorts.parent / f"{key[:2].hex()}.sqlite")
        names = Pseudonyms(key)
        return ingesting.ingest(source, self.labels, self.cohorts / name, names, SEALING, name, **more)

    def refused(self, name="chest", code=""):
        before = sorted(self.cohorts.iterdir())
        with pytest.raises(ImagingError) as caught:
            self.ingest(name)
        assert caught.value.code == code
        assert sorted(self.cohorts.iterdir()) == before
        return str(caught.value)


@pytest.fixture
def hospital(tmp_path, make_dicom, encoded):
    made = Hospital(tmp_path, make_dicom, encoded)
    made.image("a/1.dcm", "PAT-A")
    made.image("a/2.dcm", "PAT-A")
    made.image("b.dcm", "PAT-B", PhotometricInterpretation="MONOCHROME1")
    made.image("c", "PAT-C")
    made.label(("PAT-A", 1, "train"), ("PAT-B", 0, "test"))
    return made


def test_labelled_patients_become_a_cohort(hospital):
    progress = []
    summary = hospital.ingest(on_progress=lambda phase, done: progress.append((phase, done)))
    assert (summary.patients, summary.images, summary.unlabelled_images) == (2, 3, 1)
    assert summary.by_split == {"train": 1, "val": 0, "test": 1}
    assert summary.quarantined == {}
    assert progress == [("headers", 4), *(("images", done) for done in range(1, 5))]
    cohort = Cohort.open(hospital.cohorts / "chest", SEALING)
    assert cohort.digest == summary.digest
    assert [len(patient.images) for patient in cohort.patients("train")] == [2]
    assert cohort.patients("train")[0].key == Pseudonyms(KEY).patient("PAT-A")


def test_a_second_run_gives_the_same_digest_and_another_key_another(hospital):
    digests = [hospital.ingest(name, key).digest for name, key in [("x", KEY), ("y", KEY), ("z", bytes(32))]]
    indices = [
        json.loads(sealing.read(hospital.cohorts / name / index.INDEX, SEALING, index.INDEX_PURPOSE)) for name in "xyz"
    ]
    assert indices[0]["patients"] == indices[1]["patients"] != indices[2]["patients"]
    assert len(set(digests)) == 3, "the name is part of the cohort"


def test_bad_files_are_put_aside_and_stop_nothing(hospital):
    hospital.file("notes.txt", b"SECRET PAT-A")
    hospital.image("PAT-A/ct.dcm", "PAT-A", Modality="CT")
    hospital.image("PAT-A/flat.dcm", "PAT-A", pixels=np.zeros((16, 12), np.uint8))
    hospital.image("PAT-A/whole.dcm", "PAT-A", pixels=np.arange(4096, dtype=np.uint16).reshape(64, 64))
    hospital.file("PAT-A/cut.dcm", (hospital.source / "PAT-A/whole.dcm").read_bytes()[:-4096])
    (hospital.source / "link").symlink_to("/etc/passwd")
    summary = hospital.ingest()
    assert summary.images == 4
    assert summary.quarantined == {
        "dicom.constant": 1,
        "dicom.not_a_radiograph": 1,
        "header.not_dicom": 1,
        "dicom.truncated": 1,
        "file.not_regular": 1,
    }
    folder = hospital.cohorts / "chest"
    listed = json.loads((folder / index.QUARANTINE).read_bytes())
    assert listed["counts"] == summary.quarantined
    with (folder / index.QUARANTINE_PATHS).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{"file": row["file"], "code": row["code"]} for row in rows] == listed["files"]
    assert {row["path"]: row["code"] for row in rows}["PAT-A/ct.dcm"] == "dicom.not_a_radiograph"


def test_nothing_but_the_path_list_names_a_patient_or_a_path(hospital):
    hospital.file("PAT-A/notes.txt", b"x")
    hospital.ingest()
    for path in (hospital.cohorts / "chest").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600)
        if path.is_file() and path.name != index.QUARANTINE_PATHS:
            data = path.read_bytes() + path.name.encode()
            assert not any(secret in data for secret in (b"PAT-", b"Doe", b"notes", b"1970", b"2024"))


def test_a_repeated_instance_or_picture_is_taken_once(hospital):
    uid = generate_uid()
    hospital.image("d/1.dcm", "PAT-A", SOPInstanceUID=uid)
    hospital.image("d/2.dcm", "PAT-A", SOPInstanceUID=uid)
    same = np.arange(192, dtype=np.uint16).reshape(16, 12)
    hospital.image("e/1.dcm", "PAT-A", pixels=same)
    hospital.image("e/2.dcm", "PAT-B", pixels=same)
    summary = hospital.ingest()
    assert summary.quarantined == {"duplicate.instance": 1, "duplicate.pixels": 1}
    assert summary.images == 5


def test_a_patient_with_only_bad_files_is_left_out(hospital):
    hospital.image("d", "PAT-D", NumberOfFrames=2)
    hospital.image("e", "PAT-E", pixels=np.zeros((16, 12), np.uint8))
    hospital.label(("PAT-A", 1, "train"), ("PAT-E", 0, "val"))
    summary = hospital.ingest()
    assert (summary.patients, summary.patients_without_images) == (1, 1)
    hospital.label(("PAT-E", 0, "val"))
    assert "no labelled patient" in hospital.refused("other", code="cohort.empty")


def test_a_label_without_its_patient_keeps_nothing_and_names_the_row(hospital):
    hospital.label(("PAT-A", 1, "train"), ("SECRET-X", 0, "test"), ("SECRET-Y", 0, "test"))
    message = hospital.refused(code="labels.no_such_patient")
    assert "row 3 " in message
    assert "2 such rows" in message
    assert "SECRET" not in message


def test_a_bad_label_file_is_refused_before_any_image_is_read(hospital, monkeypatch):
    monkeypatch.setattr(dicom_source, "Catalogue", lambda *_: pytest.fail("an image was read"))
    hospital.label(("PAT-A", 1, "train"), ("PAT-A", 1, "test"))
    assert "row 3 " in hospital.refused(code="labels.duplicate")


def test_existing_names_and_unusable_sources_are_refused(hospital):
    summary = hospital.ingest()
    hospital.refused(code="cohort.exists")
    assert Cohort.open(hospital.cohorts / "chest", SEALING).digest == summary.digest
    hospital.source = hospital.source / "absent"
    hospital.refused("other", code="cohort.source")
    hospital.source = hospital.cohorts.parent
    hospital.refused("other", code="cohort.source")


@pytest.mark.parametrize("call", ["fsync", "fdopen"])
def test_a_full_disk_leaves_nothing(hospital, monkeypatch, call):
    calls = [0]
    real = getattr(os, call)

    def fail(*arguments, **keywords):
        calls[0] += 1
        if calls[0] > 2:
            raise OSError(errno.ENOSPC, "No space left on device", "/secret/path")
        return real(*arguments, **keywords)

    monkeypatch.setattr(ingesting.os, call, fail)
    message = hospital.refused(code="cohort.storage")
    assert "secret" not in message
    monkeypatch.undo()
    hospital.ingest()


def test_what_a_killed_ingest_left_is_cleared_away(hospital, monkeypatch):
    monkeypatch.setattr(ingesting.shutil, "rmtree", lambda *_, **__: None)
    monkeypatch.setattr(ingesting, "_flush", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        hospital.ingest()
    assert [path.name for path in hospital.cohorts.iterdir()] == [".chest.partial"]
    monkeypatch.undo()
    hospital.ingest()
    assert [path.name for path in hospital.cohorts.iterdir()] == ["chest"]

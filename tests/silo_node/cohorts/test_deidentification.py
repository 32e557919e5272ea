"""The commands `deidentify` and `review`, with what they print and what they must not."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from typer.testing import CliRunner

from privacy.errors import ConfigError, DataError
from silo_node.app import app

RUN = CliRunner()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "Doe"
    folder.mkdir()
    for number in range(2):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.Modality = CTImageStorage, "CT"
        dataset.SOPInstanceUID, dataset.PatientID, dataset.PatientName = f"1.2.77.{number}", "P-1", "Doe^Jane"
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.Rows = dataset.Columns = 16
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 15, 0, 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.PixelData = np.arange(256, dtype=np.uint16).tobytes()
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    (folder / "notes.txt").write_text("Jane Doe")
    (tmp_path / "state").mkdir()
    return folder


def deidentify(archive: Path, output: Path, *more: str) -> str:
    arguments = ["deidentify", str(archive), "-o", str(output), "--state", str(archive.parent / "state"), *more]
    result = RUN.invoke(app, arguments)
    if result.exception is not None:
        raise result.exception
    assert result.exit_code == 0
    assert not any(secret in result.output for secret in ("Doe", "P-1", "1.2.77", str(archive)))
    return result.output


def test_a_folder_is_deidentified_reviewed_and_accepted(archive: Path) -> None:
    output = archive.parent / "clean"
    said = json.loads(deidentify(archive, output, "--json"))
    assert (said["files"], said["patients"], said["quarantined"]) == (2, 1, {"dicom.not_dicom": 1})
    assert said["actions"]["uid_mapped"] == 2
    made = RUN.invoke(app, ["review", str(output), "--json"])
    assert json.loads(made.output) == {"page": "review/index.html"}
    accepted = RUN.invoke(app, ["review", str(output), "--accept", "--by", "Ada Roe", "--json"])
    assert json.loads(accepted.output)["decision"] == "accepted"
    undecided = RUN.invoke(app, ["review", str(output), "--by", "Ada Roe"])
    assert isinstance(undecided.exception, ConfigError)


def test_projects_and_tables_give_other_names(archive: Path) -> None:
    profiles = {"keyed": "version: 1\n", "project": "project: chest\n", "table": "project: chest\npseudonyms: table\n"}
    names = set()
    for name, text in profiles.items():
        (archive.parent / f"{name}.yaml").write_text(text)
        deidentify(archive, archive.parent / name, "--profile", str(archive.parent / f"{name}.yaml"))
        names |= {path.name for path in (archive.parent / name / "dicom").iterdir()}
    assert len(names) == 6
    table = archive.parent / "state" / "pseudonyms-chest.sqlite"
    assert table.stat().st_mode & 0o077 == 0
    deidentify(archive, archive.parent / "again", "--profile", str(archive.parent / "table.yaml"))
    assert {path.name for path in (archive.parent / "again" / "dicom").iterdir()} <= names


def test_an_output_that_exists_is_refused(archive: Path) -> None:
    (archive.parent / "clean").mkdir()
    with pytest.raises(DataError) as caught:
        deidentify(archive, archive.parent / "clean")
    assert caught.value.code == "deidentify.exists"
    assert "Doe" not in str(caught.value)

"""Images and labels that cannot be used are put aside, or refused with nothing half-written."""

from pathlib import Path

import pydicom
import pytest
from pydicom.uid import CTImageStorage, generate_uid

from privacy.errors import (
    ConfigError,
    DataError,
)
from silo_node.cohorts.ingestion import open_cohort
from silo_node.state import StateDirectory
from tests.e2e import commands
from tests.e2e.refused import NORTH, only_grew
from tests.e2e.scene import Copied, Scene
from tests.e2e.state_folders import contents

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("quick")]


def test_broken_dicom_is_quarantined_and_stops_nothing(founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    archive = scene.data(NORTH) / "dicom"
    for path in archive.glob("BROKEN*"):
        path.unlink()
    whole = archive / "IM00000.dcm"
    data = whole.read_bytes()
    other = pydicom.dcmread(whole)
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    other.save_as(archive / "half.dcm")
    (archive / "half.dcm").write_bytes((archive / "half.dcm").read_bytes()[: len(data) // 2])
    (archive / "header.dcm").write_bytes(data[:300])
    (archive / "letter.dcm").write_bytes(b"Dear colleague, thank you for sending us this patient.\n")
    (archive / "nothing.dcm").write_bytes(b"")
    (archive / "copy.dcm").write_bytes(data)
    (archive / "link.dcm").symlink_to(whole)
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    other.Modality, other.SOPClassUID = "CT", CTImageStorage
    other.file_meta.MediaStorageSOPClassUID = CTImageStorage
    other.save_as(archive / "slice.dcm")
    ended = commands.run(
        "silo", "ingest", *scene.archive(NORTH), "--cohort", "again", "--state", scene.state(NORTH), "--json"
    ).well()
    assert ended.err == ""
    put_aside = dict(reversed(item.split(" ")) for item in ended.data()["quarantined"])
    assert put_aside == {
        "dicom.truncated": "1",
        "file.not_regular": "1",
        "header.not_dicom": "2",
        "header.truncated": "1",
        "series.duplicate_instance": "1",
        "series.no_geometry": "1",
    }
    assert open_cohort(StateDirectory(scene.state(NORTH)), "again").digest == scene.entries(NORTH)[-1].body["digest"]


def test_a_label_for_a_patient_that_is_not_there_keeps_nothing(founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    labels = scene.data(NORTH) / "labels.csv"
    with labels.open("a") as file:
        file.write("NOBODY7,1,train\n")
    rows = len(labels.read_text().splitlines())
    before = contents(scene.state(NORTH))
    ended = commands.run("silo", "ingest", *scene.archive(NORTH), "--cohort", "again", "--state", scene.state(NORTH))
    said = ended.refused(DataError, "labels.no_such_patient", "correct the labels or add files")
    assert f"row {rows} " in said
    assert "NOBODY7" not in said
    only_grew(scene, before, NORTH, [])


def test_a_folder_without_a_usable_image_keeps_nothing(founded: Scene, copied: Copied, tmp_path: Path) -> None:
    scene = copied(founded)
    (tmp_path / "empty").mkdir()
    labels = tmp_path / "labels.csv"
    labels.write_text("patient,label,split\n")
    before = contents(scene.state(NORTH))
    ended = commands.run(
        "silo", "ingest", tmp_path / "empty", "--labels", labels, "--cohort", "again", "--state", scene.state(NORTH)
    )
    ended.refused(DataError, "cohort.empty", "the source is empty")
    only_grew(scene, before, NORTH, [])


@pytest.mark.slow
def test_a_cohort_cannot_be_made_outside_the_state_directory(founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    before = contents(scene.root / "silos")
    for name in ("../../harbour/cohorts/theirs", "..", ".", "Chest", ""):
        ended = commands.run("silo", "ingest", *scene.archive(NORTH), "--cohort", name, "--state", scene.state(NORTH))
        ended.refused(ConfigError, "config.invalid", "is no name for a cohort")
    assert contents(scene.root / "silos") == before

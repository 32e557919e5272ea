import csv
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.errors import InvalidDicomError

from deploy.sandbox import phantom
from deploy.sandbox.phantom import SiloPlan
from deploy.sandbox.scanner import SCANNERS

SMALL = SiloPlan("north", 40, 0.5, SCANNERS[0], monochrome1=0.2, broken=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    folder = tmp_path_factory.mktemp("phantom") / "north"
    return folder, phantom.make(SMALL, folder, seed=7)


def labels(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "labels.csv").open(newline="") as file:
        return {row["patient"]: row for row in csv.DictReader(file)}


def test_every_patient_has_a_label_and_one_to_five_images(made: tuple[Path, int]) -> None:
    folder, count = made
    images = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(folder.glob("dicom/IM*.dcm"))]
    table = labels(folder)
    owners = [image.PatientID for image in images]
    assert len(images) == count
    assert set(owners) == set(table)
    assert len(table) == SMALL.patients
    assert {owners.count(key) for key in table} <= {1, 2, 3, 4, 5}
    assert {row["split"] for row in table.values()} <= {"train", "val", "test"}
    assert sum(row["label"] == "1" for row in table.values()) == 20


def test_headers_are_full_and_identify_the_invented_person(made: tuple[Path, int]) -> None:
    image = pydicom.dcmread(made[0] / "dicom" / "IM00000.dcm")
    for keyword in ("PatientName", "PatientBirthDate", "PatientAddress", "AccessionNumber", "ReferringPhysicianName"):
        assert image.get(keyword)
    assert image.RequestAttributesSequence[0].RequestedProcedureDescription
    assert any(element.tag.is_private for element in image)
    assert image.pixel_array.shape == (128, 128)
    assert image.pixel_array.max() < 2**image.BitsStored


def test_some_are_monochrome1_and_show_the_same_when_inverted(made: tuple[Path, int]) -> None:
    images = [pydicom.dcmread(path) for path in sorted(made[0].glob("dicom/IM*.dcm"))]
    kinds = {
        kind: [i for i in images if i.PhotometricInterpretation == kind] for kind in ("MONOCHROME1", "MONOCHROME2")
    }
    assert kinds["MONOCHROME1"]
    assert kinds["MONOCHROME2"]
    corner = {kind: np.mean([i.pixel_array[:4, :4].mean() / 4095 for i in some]) for kind, some in kinds.items()}
    assert corner["MONOCHROME2"] < 0.2  # air is dark
    assert corner["MONOCHROME1"] > 0.8


def test_broken_files_are_refused_by_a_reader(made: tuple[Path, int]) -> None:
    broken = sorted(made[0].glob("dicom/BROKEN*.dcm"))
    assert len(broken) == SMALL.broken
    for path in broken:
        with pytest.raises((InvalidDicomError, ValueError, EOFError, AttributeError, OSError)):
            _ = pydicom.dcmread(path).pixel_array


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others(tmp_path: Path, made: tuple[Path, int]) -> None:
    def first_image(folder: Path) -> bytes:
        return bytes(pydicom.dcmread(folder / "dicom" / "IM00000.dcm").PixelData)

    phantom.make(SMALL, tmp_path / "again", seed=7)
    phantom.make(SMALL, tmp_path / "other", seed=8)
    assert first_image(tmp_path / "again") == first_image(made[0])
    assert first_image(tmp_path / "other") != first_image(made[0])


def test_silos_differ_in_scanner_prevalence_and_size() -> None:
    plans = phantom.plans(("a", "b", "c"))
    assert len({plan.scanner for plan in plans}) == 3
    assert len({plan.prevalence for plan in plans}) == 3
    assert len({plan.patients for plan in plans}) == 3
    assert len(phantom.plans(tuple("abcdefghij"))) == 10


def test_opacities_brighten_the_lungs() -> None:
    sick = np.arange(200) % 2 == 1
    images = phantom.radiographs(sick, SCANNERS[0], np.random.default_rng(1))
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    lungs = images[:, 40:80, 30:60].mean((1, 2))
    assert lungs[sick].mean() > lungs[~sick].mean() + 0.05

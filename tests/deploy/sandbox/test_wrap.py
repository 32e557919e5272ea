import csv
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deploy.sandbox import wrap
from deploy.sandbox.wrap import Partition
from privacy.errors import DataError

SILOS = ("north", "harbour", "hill")


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def image_folder(folder: Path, patients: int, **extra: str) -> list[dict[str, str]]:
    random = np.random.default_rng(0)
    rows = []
    for patient in range(patients):
        for number in range(1 + patient % 3):
            name = f"{patient}-{number}.png"
            Image.fromarray(random.integers(0, 256, (24, 20), dtype=np.uint8)).save(folder / name)
            rows.append({"file": name, "patient": f"P{patient}", "label": str(patient % 2), **extra})
    write_table(folder / "manifest.csv", rows)
    return rows


def read_silo(folder: Path) -> tuple[dict[str, dict[str, str]], list[pydicom.Dataset]]:
    with (folder / "labels.csv").open(newline="") as file:
        table = {row["patient"]: row for row in csv.DictReader(file)}
    return table, [pydicom.dcmread(path) for path in sorted(folder.glob("dicom/*.dcm"))]


def test_images_become_dicom_and_every_patient_lives_at_one_silo(tmp_path: Path) -> None:
    rows = image_folder(tmp_path, 30)
    description = wrap.wrap(tmp_path, tmp_path / "out", SILOS, Partition.HASH)
    assert description.startswith("60 images of 30 patients")
    homes: dict[str, str] = {}
    total = 0
    for silo in SILOS:
        table, images = read_silo(tmp_path / "out" / silo)
        assert {str(image.PatientID) for image in images} == set(table)
        for image in images:
            assert homes.setdefault(str(image.PatientID), silo) == silo
        total += len(images)
    assert total == len(rows)
    assert len(homes) == 30


def test_pixels_survive_the_wrapping(tmp_path: Path) -> None:
    image_folder(tmp_path, 6)
    wrap.wrap(tmp_path, tmp_path / "out", SILOS[:2], Partition.HASH)
    originals = {np.asarray(Image.open(path)).tobytes() for path in tmp_path.glob("*.png")}
    wrapped = {
        pydicom.dcmread(path).pixel_array.astype(np.uint8).tobytes() for path in tmp_path.glob("out/*/dicom/*.dcm")
    }
    assert wrapped == originals


def test_prevalence_partition_makes_silos_differ_in_labels_and_scanner(tmp_path: Path) -> None:
    image_folder(tmp_path, 200)
    wrap.wrap(tmp_path, tmp_path / "out", SILOS, Partition.PREVALENCE)
    rates, devices = [], set()
    for silo in SILOS:
        table, images = read_silo(tmp_path / "out" / silo)
        rates.append(np.mean([int(row["label"]) for row in table.values()]))
        devices |= {image.ManufacturerModelName for image in images}
    assert rates[0] < rates[1] < rates[2]
    assert len(devices) == 3


def test_silo_and_split_columns_are_followed(tmp_path: Path) -> None:
    rows = image_folder(tmp_path, 12, silo="", split="validation")
    for row in rows:
        row["silo"] = ("x", "y")[int(row["patient"][1:]) % 2]
    write_table(tmp_path / "manifest.csv", rows)
    wrap.wrap(tmp_path, tmp_path / "out", ("north", "hill"), Partition.HASH)
    table, _ = read_silo(tmp_path / "out" / "north")
    assert set(table) == {f"P{number}" for number in range(0, 12, 2)}
    assert {row["split"] for row in table.values()} == {"val"}


def test_a_dicom_folder_is_dealt_by_patient_and_broken_files_are_passed_on(tmp_path: Path) -> None:
    image_folder(tmp_path, 20)
    wrap.wrap(tmp_path, tmp_path / "once", SILOS[:2], Partition.HASH)
    archive = tmp_path / "archive"
    archive.mkdir()
    rows = []
    for silo in SILOS[:2]:
        table, _ = read_silo(tmp_path / "once" / silo)
        rows += [{"patient": key, "label": row["label"]} for key, row in table.items()]
        for path in (tmp_path / "once" / silo / "dicom").iterdir():
            (archive / f"{silo}-{path.name}").write_bytes(path.read_bytes())
    (archive / "notes.dcm").write_bytes(b"not DICOM")
    write_table(archive / "labels.csv", rows)
    wrap.wrap(archive, tmp_path / "out", SILOS, Partition.HASH)
    files = list((tmp_path / "out").glob("*/dicom/*.dcm"))
    assert len(files) == 39 + 1
    assert sum(path.read_bytes() == b"not DICOM" for path in files) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": "2"}, "label 0 or 1"),
        ({"split": "holdout"}, "split"),
        ({"file": "../secret.png"}, "points out"),
        ({"file": "absent.png"}, "missing or not an image"),
        ({"patient": ""}, "patient"),
        ({"silo": "elsewhere"}, "names 2 silos"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, change: dict[str, str], words: str) -> None:
    rows = image_folder(tmp_path, 9, silo="", split="train")
    rows[0] |= change
    write_table(tmp_path / "manifest.csv", rows)
    with pytest.raises(DataError, match=words):
        wrap.wrap(tmp_path, tmp_path / "out", SILOS, Partition.HASH)


def test_two_labels_for_one_patient_are_refused(tmp_path: Path) -> None:
    rows = image_folder(tmp_path, 9)
    rows[1]["patient"] = rows[0]["patient"]
    write_table(tmp_path / "manifest.csv", rows)
    with pytest.raises(DataError, match="another label"):
        wrap.wrap(tmp_path, tmp_path / "out", SILOS, Partition.HASH)


def test_a_folder_without_a_table_or_column_or_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither"):
        wrap.wrap(tmp_path, tmp_path / "out", SILOS, Partition.HASH)
    (tmp_path / "manifest.csv").write_text("file,patient\na,b\n")
    with pytest.raises(DataError, match="no column 'label'"):
        wrap.wrap(tmp_path, tmp_path / "out", SILOS, Partition.HASH)
    (tmp_path / "manifest.csv").write_text("file,patient,label\n")
    with pytest.raises(DataError, match="no rows"):
        wrap.wrap(tmp_path, tmp_path / "out", SILOS, Partition.HASH)


def test_prevalence_needs_images(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("patient,label\na,0\n")
    with pytest.raises(DataError, match="changes pixels"):
        wrap.wrap(tmp_path, tmp_path / "out", SILOS, Partition.PREVALENCE)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=40, unique=True))
def test_a_choice_depends_on_the_key_alone(keys: list[str]) -> None:
    once = [wrap._pick(key, "silo", [1.0, 1.0, 1.0], SILOS) for key in keys]
    again = [wrap._pick(key, "silo", [1.0, 1.0, 1.0], SILOS) for key in reversed(keys)]
    assert once == again[::-1]
    assert set(once) <= set(SILOS)

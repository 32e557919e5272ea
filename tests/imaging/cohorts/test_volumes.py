"""Volumes of DICOM series with masks, from a folder to what training reads."""

import numpy as np
import pytest
from pydicom import dcmread

from imaging.cohorts.cohort import Cohort
from imaging.cohorts.dicom_source import DicomFolder
from imaging.cohorts.ingest import ingest
from imaging.cohorts.labelling import Labelling, Outlined
from imaging.deidentification import Pseudonyms
from imaging.errors import ImagingError
from imaging.volumes import reading
from imaging.volumes.cache import VolumeCache
from tests.imaging.labels.conftest import COLUMNS, ROWS, SLICES, Scan
from tests.imaging.series import item

KEY = bytes(range(32))
SHAPE = (COLUMNS, ROWS, SLICES)
LIVER = Labelling(
    format="collegium-labelling/1",
    kind="segmentation",
    classes=("liver", "lesion"),
    outlined={"liver": Outlined(labels=("Liver",)), "lesion": Outlined(labels=("lesion", "tumour"))},
)


class Archive:
    """A folder of made CTs with label files, and a label table."""

    def __init__(self, root):
        self.root, self.folder = root, root / "source"
        self.folder.mkdir()
        self.rows = ["patient,split"]
        self.cache = None

    def scan(self, patient, split="train"):
        folder = self.folder / patient
        folder.mkdir()
        scan = Scan(folder)
        for number, dataset in enumerate(scan.slices):
            values = np.random.default_rng([len(self.rows), number]).integers(0, 4000, (ROWS, COLUMNS), np.uint16)
            dataset.PixelData, dataset.PatientID = values.tobytes(), patient
            dataset.RescaleIntercept, dataset.RescaleSlope = -1024, 1
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
            dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
        self.rows.append(f"{patient},{split}")
        return scan

    def ingest(self, labelling=LIVER):
        table = self.root / "labels.csv"
        table.write_text("\n".join(self.rows) + "\n")
        source = DicomFolder(self.folder, self.root / "catalogue", cache=self.cache)
        summary = ingest(source, table, self.root / "cohort", Pseudonyms(KEY), KEY, "livers", labelling=labelling)
        return summary, Cohort.open(self.root / "cohort", KEY)


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path)


def drawn(seed):
    """(columns, rows, slices) of 0, 1 and 2."""
    return np.random.default_rng(seed).integers(0, 3, SHAPE, np.uint8)


def test_volumes_come_with_the_masks_that_refer_to_them(archive):
    masks = [drawn(1), drawn(2)]
    for patient, split, mask in zip(("P-1", "P-2"), ("train", "test"), masks, strict=True):
        scan = archive.scan(patient, split)
        scan.segment(np.stack([mask == 1, mask == 2], axis=-1).astype(np.uint8), ["Liver", "Tumour"])
    summary, cohort = archive.ingest()
    assert (summary.patients, summary.images, summary.quarantined) == (2, 2, {})
    assert (cohort.kind, cohort.classes) == ("segmentation", ("liver", "lesion"))
    for split, mask in zip(("train", "test"), masks, strict=True):
        (patient,) = cohort.patients(split)
        array, affine, learned = patient.load(0)
        assert array.shape == learned.shape == SHAPE
        np.testing.assert_array_equal(learned, mask)
        np.testing.assert_allclose(affine, scan.grid.affine, atol=1e-6)
        assert array.min() >= -1024
        assert patient.images[0].shape == SHAPE


def test_what_was_decoded_once_is_not_decoded_again(archive, monkeypatch):
    archive.scan("P-1").segment(drawn(1).clip(0, 1), ["Liver"])
    archive.cache = VolumeCache(archive.root / "volumes", KEY)
    archive.rows.append("P-2,train")
    with pytest.raises(ImagingError) as caught:  # after everything was decoded
        archive.ingest()
    assert caught.value.code == "labels.no_such_patient"
    archive.rows.pop()
    monkeypatch.setattr(reading, "_volume", lambda *_: pytest.fail("decoded again"))
    summary, _ = archive.ingest()
    assert summary.images == 1
    assert VolumeCache(archive.root / "volumes", KEY).prune() == 1


def test_a_structure_set_is_a_mask_too(archive):
    scan = archive.scan("P-1")
    square = np.array([[2, 2, 3], [7, 2, 3], [7, 6, 3], [2, 6, 3]], float)
    path = scan.outline([("Liver", [square]), ("body", [square])])
    dataset = dcmread(path)
    dataset.Modality = "RTSTRUCT"
    dataset.ReferencedFrameOfReferenceSequence = item(
        RTReferencedStudySequence=item(RTReferencedSeriesSequence=item(SeriesInstanceUID=scan.series))
    )
    dataset.save_as(path)
    summary, cohort = archive.ingest()
    assert summary.warnings["mask.class_empty"] == 1
    mask = cohort.patients("train")[0].load(0)[2]
    assert np.count_nonzero(mask[:, :, 3]) == np.count_nonzero(mask) == 20


def test_images_without_a_mask_or_with_two_are_put_aside(archive):
    whole = archive.scan("P-1")
    whole.segment(drawn(1).clip(0, 1), ["Liver"])
    archive.scan("P-2")
    twice = archive.scan("P-3")
    for name in ("a", "b"):
        twice.segment(drawn(1).clip(0, 1), ["Liver"]).rename(twice.folder / name)
    foreign = archive.scan("P-4")
    whole.folder = foreign.folder
    path = whole.segment(drawn(1).clip(0, 1), ["Liver"])
    theirs = dcmread(path)
    theirs.PatientID = "P-4"  # drawn on another patient's image
    theirs.save_as(path)
    summary, _ = archive.ingest()
    assert summary.patients == 1
    assert summary.quarantined == {"mask.missing": 2 * SLICES, "mask.several": SLICES}
    assert summary.patients_without_images == 3


def test_a_label_table_may_give_volumes_classes(archive):
    archive.scan("P-1")
    archive.rows = ["patient,label,split", "P-1,high,val"]
    grades = Labelling(format="collegium-labelling/1", kind="multi_class_classification", classes=("low", "high"))
    _, cohort = archive.ingest(grades)
    assert cohort.patients("val")[0].label(0) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "segmentation"},
        {"kind": "segmentation", "classes": ("a",)},
        {"kind": "segmentation", "classes": ("a",), "outlined": {"a": Outlined()}},
        {"kind": "segmentation", "classes": ("a",), "outlined": {"b": Outlined(numbers=(1,))}},
        {
            "kind": "segmentation",
            "classes": ("a", "b"),
            "outlined": {"a": Outlined(numbers=(1,)), "b": Outlined(numbers=(1,))},
        },
        {"kind": "binary_classification", "classes": ("a",)},
        {"kind": "multi_class_classification", "classes": ("a",)},
        {"kind": "multi_label_classification"},
        {"kind": "regression", "outlined": {"a": Outlined(numbers=(1,))}},
    ],
)
def test_a_labelling_that_contradicts_itself_is_refused(given):
    with pytest.raises(ValueError, match=r"classes|outlined"):
        Labelling(format="collegium-labelling/1", **given)


def test_a_damaged_table_keeps_nothing(archive):
    archive.scan("P-1")
    archive.rows = ["patient,split", "P-1,training"]
    with pytest.raises(ImagingError):
        archive.ingest()
    assert not (archive.root / "cohort").exists()

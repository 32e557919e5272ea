"""What a cohort's page counts and shows, for each kind of label."""

import re
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.cohorts import portrait, refusals, survey
from imaging.cohorts.cohort import Cohort, CohortPatient, StoredImage
from imaging.cohorts.storage import CohortImage, ImageStore, pack
from imaging.errors import ImagingError
from imaging.volumes.volume import Volume
from tests.imaging.cohorts.test_quality import volume

ROOT = Path(__file__).parents[3]
SHAPE = (12, 10, 8)


class Made:
    """A cohort of made images, given patient by patient."""

    def __init__(self, folder, kind, *classes):
        self.store, self.kind, self.classes = ImageStore(folder, bytes(32)), kind, classes
        self.splits = {"train": (), "val": (), "test": ()}

    def patient(self, split, *labels, mask=None, shape=SHAPE, warnings=(), **said):
        number = sum(map(len, self.splits.values()))
        images = []
        for label in labels:
            array = np.random.default_rng([number, len(images)]).integers(-1000, 900, shape).astype(np.int16)
            made = volume(array, affine=None if len(shape) == 3 else False, **said)
            stored = self.store.add(pack(CohortImage(Volume(made.array, made.affine, made.manifest), mask)))
            images.append(StoredImage(label, shape, warnings, stored, self.store))
        self.splits[split] += (CohortPatient(f"PATIENT{number}ABCDEF", tuple(images)),)

    def cohort(self, **quarantined):
        counts = {name.replace("__", "."): count for name, count in quarantined.items()}
        return Cohort("made", "0" * 64, self.kind, self.classes, "basic", "", counts, MappingProxyType(self.splits))


def test_classes_are_counted_by_split(tmp_path):
    made = Made(tmp_path, "multi_label_classification", "nodule", "effusion")
    made.patient("train", (1, 0), (1, 1), shape=(16, 12), warnings=("quality.lossy",))
    made.patient("test", (0, 0), shape=(16, 14), spacing=None, modality=None)
    cohort = made.cohort(duplicate__pixels=2, dicom__colour=1)
    found, shown, page = portrait.draw(cohort, 10)
    assert found.patients == {"train": 1, "val": 0, "test": 1}
    assert dict(found.images) == {"train": 2, "test": 1}
    assert dict(found.labels) == {("train", "nodule"): 2, ("train", "effusion"): 1}
    assert dict(found.shapes) == {(16, 12): 2, (16, 14): 1}
    assert dict(found.spacings) == {(1.5, 1.5): 2, None: 1}
    assert dict(found.modalities) == {"CT": 2, survey.NO_MODALITY: 1}
    assert dict(found.warnings) == {"quality.lossy": 2}
    assert portrait.duplicates(cohort) == 2
    assert shown == (1, 2, 3)
    assert "the source was compressed with loss" in page
    assert "the image has colours" in page
    assert re.findall("<b>(.)</b><span>(.{8})</span><span>(\\w+)</span><span>([^<]+)", page) == [
        ("1", "PATIENT0", "train", "nodule"),
        ("2", "PATIENT0", "train", "nodule, effusion"),
        ("3", "PATIENT1", "test", "no class"),
    ]


def test_masks_are_measured(tmp_path):
    made = Made(tmp_path, "segmentation", "liver", "lesion")
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:5, 2:5, 2:5] = 1
    layers = np.zeros((2, *SHAPE), np.bool_)
    layers[0, 2:8, 2:8, 2:8] = layers[1, 3:4, 3:4, 3:4] = True
    made.patient("train", (), mask=mask)
    made.patient("val", (), mask=layers)
    found, _, page = portrait.draw(made.cohort(), 10)
    assert dict(found.labels) == {("train", "liver"): 1, ("val", "liver"): 1, ("val", "lesion"): 1}
    assert found.volumes["liver"].added == 2
    assert found.volumes["lesion"].bars().start == pytest.approx(1.5 * 1.5 * 3 / 1000, rel=1e-3)
    assert "Volume of lesion" in page
    assert page.count("<figure class=tile>") == 2


def test_a_regression_has_a_histogram_and_no_classes(tmp_path):
    made = Made(tmp_path, "regression")
    made.patient("train", 2.5, 7.0)
    found, _, page = portrait.draw(made.cohort(), 10)
    assert found.targets.added == 2
    assert not found.labels
    assert "<h3>Label</h3>" in page


def test_what_is_left_out_is_said(tmp_path):
    made = Made(tmp_path, "binary_classification")
    made.patient("train", *[0] * 6)
    made.patient("test", 1, warnings=("quality.coarse",))
    _, shown, page = portrait.draw(made.cohort(), 3)
    assert shown == (1, 4, 7)
    assert "3 of 7 images are shown" in page
    assert page.count("<figure class=tile>") == 3
    assert "images are shown" not in portrait.draw(made.cohort(), 7)[2]


def test_a_damaged_image_is_no_page(tmp_path):
    made = Made(tmp_path, "binary_classification")
    made.patient("train", 0)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ImagingError) as caught:
        portrait.draw(made.cohort(), 3)
    assert caught.value.code == "cohort.damaged"


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 70))
def test_warned_images_come_first_and_the_number_is_kept(warned, most):
    images = list(enumerate(warned, start=1))
    chosen = portrait.chosen(images, most)
    assert len(chosen) == min(most, len(images))
    with_warnings = {number for number, has in images if has}
    assert len(chosen & with_warnings) == min(most, len(with_warnings))


def test_the_page_of_codes_lists_those_of_the_index_and_no_others():
    table = "".join(f"| `{code}` | {sentence} |\n" for code, sentence in refusals.INDEXED.items())
    assert (ROOT / "docs/reference/rejections.md").read_text("utf-8").split("|---|---|\n")[2] == table
    files = [path for path in sorted((ROOT / "imaging").rglob("*.py")) if path.name != "refusals.py"]
    sources = "".join(path.read_text("utf-8") for path in files)
    assert [code for code in refusals.INDEXED if f'"{code}"' not in sources] == []
    headers = (ROOT / "imaging/sources/header.py").read_text("utf-8")
    assert set(re.findall(r'"((?:header|file)\.[a-z_]+)"', headers)) <= set(refusals.INDEXED)

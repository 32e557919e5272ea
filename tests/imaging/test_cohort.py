import json
import pickle

import numpy as np
import pytest

from imaging import index
from imaging.cohort import Cohort, ingest
from imaging.errors import ImagingError

KEY = bytes(range(32))


@pytest.fixture
def cohort(tmp_path, make_dicom, encoded):
    """A cohort of two patients; its folder."""
    source = tmp_path / "source"
    source.mkdir()
    for number, patient in enumerate(["A", "B", "B"]):
        pixels = np.random.default_rng(number).integers(0, 4000, (16, 12), dtype=np.uint16)
        (source / f"{number}.dcm").write_bytes(encoded(make_dicom(pixels, PatientID=patient)))
    (tmp_path / "labels.csv").write_text("patient,label,split\nA,0,train\nB,1,test\n")
    ingest(source, tmp_path / "labels.csv", tmp_path / "cohort", KEY, "chest")
    return tmp_path / "cohort"


def code_of(action):
    with pytest.raises(ImagingError) as caught:
        action()
    return caught.value.code


def test_patients_come_back_with_their_images(cohort):
    opened = Cohort.open(cohort)
    assert opened.name == "chest"
    assert opened.table_edition == "2026c"
    assert len(opened.digest) == 64
    (train,), (test,) = opened.patients("train"), opened.patients("test")
    assert opened.patients("val") == ()
    assert (train.label, test.label) == (0, 1)
    assert (len(train.images()), len(test.images())) == (1, 2)
    np.testing.assert_array_equal(
        train.images()[0], np.random.default_rng(0).integers(0, 4000, (16, 12), dtype=np.uint16)
    )
    assert train.images()[0].dtype == np.float32
    with pytest.raises(RuntimeError):
        opened.patients("training")


def test_an_altered_image_is_found_and_pickles_are_never_opened(cohort):
    patient = Cohort.open(cohort).patients("train")[0]
    path = cohort / index.IMAGES / patient.stored[0].file
    data = path.read_bytes()
    for wrong in (data[:-1] + bytes([data[-1] ^ 1]), data[:50], pickle.dumps([1]), b""):
        path.write_bytes(wrong)
        assert code_of(patient.images) == "cohort.damaged"
    path.unlink()
    assert code_of(patient.images) == "cohort.damaged"


def test_an_altered_index_is_found(cohort):
    path = cohort / index.INDEX
    data = json.loads(path.read_bytes())
    data["patients"][0]["label"] = 1 - data["patients"][0]["label"]
    path.write_bytes(index.canonical(data))
    assert code_of(lambda: Cohort.open(cohort)) == "cohort.damaged"


def test_a_missing_or_foreign_cohort_is_named(cohort):
    assert code_of(lambda: Cohort.open(cohort / "none")) == "cohort.missing"
    data = json.loads((cohort / index.INDEX).read_bytes()) | {"format": "collegium-cohort/9"}
    (cohort / index.INDEX).write_bytes(index.canonical(data))
    (cohort / index.DIGEST).write_text(index.digest(index.canonical(data)))
    assert code_of(lambda: Cohort.open(cohort)) == "cohort.format"

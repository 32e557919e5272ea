import json
import pickle

import numpy as np
import pytest

from imaging import sealing
from imaging.cohorts import index
from imaging.cohorts.cohort import Cohort
from imaging.cohorts.dicom_source import DicomFolder
from imaging.cohorts.ingest import ingest
from imaging.deidentification import Pseudonyms
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
    folder = DicomFolder(source, tmp_path / "catalogue")
    ingest(folder, tmp_path / "labels.csv", tmp_path / "cohort", Pseudonyms(KEY), KEY, "chest")
    return tmp_path / "cohort"


def code_of(action):
    with pytest.raises(ImagingError) as caught:
        action()
    return caught.value.code


def test_patients_come_back_with_their_images(cohort):
    opened = Cohort.open(cohort, KEY)
    assert opened.name == "chest"
    assert opened.table_edition == "2026c"
    assert len(opened.digest) == 64
    (train,), (test,) = opened.patients("train"), opened.patients("test")
    assert opened.patients("val") == ()
    assert (opened.kind, opened.classes) == ("binary_classification", ())
    assert [image.label for image in (*train.images, *test.images)] == [0, 1, 1]
    image = train.images[0].read()
    expected = np.random.default_rng(0).integers(0, 4000, (16, 12), dtype=np.uint16)
    np.testing.assert_array_equal(image.volume.array, expected)
    assert image.volume.manifest.modality == "CR"
    assert (image.mask, train.images[0].shape) == (None, (16, 12))
    with pytest.raises(RuntimeError):
        opened.patients("training")


def test_an_altered_image_is_found_and_pickles_are_never_opened(cohort):
    patient = Cohort.open(cohort, KEY).patients("train")[0]
    (path,) = [path for path in (cohort / index.IMAGES).iterdir() if path.name == patient.images[0]._stored.file]
    data = path.read_bytes()
    for wrong in (data[:-1] + bytes([data[-1] ^ 1]), data[:50], pickle.dumps([1]), b""):
        path.write_bytes(wrong)
        assert code_of(patient.images[0].read) == "cohort.damaged"
    for sealed in (pickle.dumps([1]), b"", b"collegium-image/1\n" + bytes(40)):
        path.unlink()
        sealing.write(path, KEY, index.IMAGE_PURPOSE, sealed)
        assert code_of(patient.images[0].read) == "cohort.damaged"
    path.unlink()
    assert code_of(patient.images[0].read) == "cohort.damaged"


def test_one_image_does_not_stand_for_another(cohort):
    one, two = sorted((cohort / index.IMAGES).iterdir())[:2]
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)
    images = [
        image for split in ("train", "test") for p in Cohort.open(cohort, KEY).patients(split) for image in p.images
    ]
    codes = [code_of(image.read) for image in images if image._stored.file in (one.name, two.name)]
    assert codes == ["cohort.damaged"] * 2


def test_nothing_of_an_image_or_label_lies_in_clear(cohort):
    image = Cohort.open(cohort, KEY).patients("train")[0].images[0].read()
    stored = b"".join(path.read_bytes() for path in cohort.rglob("*") if path.is_file())
    assert image.volume.array.tobytes()[:16] not in stored
    assert b"label" not in stored


def replace_index(cohort, **changes):
    path = cohort / index.INDEX
    data = json.loads(sealing.read(path, KEY, index.INDEX_PURPOSE)) | changes
    path.unlink()
    sealing.write(path, KEY, index.INDEX_PURPOSE, index.canonical(data))
    return index.digest(index.canonical(data))


def test_an_altered_index_is_found(cohort):
    assert code_of(lambda: Cohort.open(cohort, bytes(32))) == "cohort.damaged"
    replace_index(cohort, patients=[])
    assert code_of(lambda: Cohort.open(cohort, KEY)) == "cohort.damaged"


def test_a_missing_or_foreign_cohort_is_named(cohort):
    assert code_of(lambda: Cohort.open(cohort / "none", KEY)) == "cohort.missing"
    (cohort / index.DIGEST).write_text(replace_index(cohort, format="collegium-cohort/9"))
    assert code_of(lambda: Cohort.open(cohort, KEY)) == "cohort.format"
    (cohort / index.INDEX).unlink()
    assert code_of(lambda: Cohort.open(cohort, KEY)) == "cohort.format"

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from imaging.deidentification import faces


def slice_of(kind):
    rows, columns = np.mgrid[:256, :256]
    image = np.full((256, 256), -1000.0)

    def disc(radius, value, x=128, y=128):
        image[np.hypot(rows - y, columns - x) < radius] = value

    if kind == "head":
        disc(85, 40)
        disc(80, 900)
        disc(72, 35)
    elif kind == "chest":
        disc(120, 40)
        disc(45, -800, 80)
        disc(45, -800, 176)
        disc(15, 500, 128, 200)
    elif kind == "leg":
        disc(70, 50)
        disc(20, 900)
    return image


@pytest.mark.parametrize(("kind", "expected"), [("head", True), ("chest", False), ("leg", False), ("air", False)])
def test_a_skull_is_a_ring_of_bone(kind, expected):
    assert faces.ring_of_bone(slice_of(kind), 0.1**2) is expected


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"Modality": "MR", "BodyPartExamined": "BRAIN"}, True),
        ({"Modality": "MR", "BodyPartExamined": "", "SeriesDescription": "SAG_T1_MPRAGE"}, True),
        ({"Modality": "MR", "BodyPartExamined": "KNEE"}, False),
        ({"Modality": "CT", "BodyPartExamined": "CHEST"}, False),
        ({"Modality": "CR", "BodyPartExamined": "SKULL"}, False),
    ],
)
def test_headers_tell(make_dicom, attributes, expected):
    assert faces.may_show(make_dicom(**attributes)) is expected


def test_a_ct_without_a_body_part_is_looked_at(make_dicom):
    for kind, expected in (("head", True), ("chest", False)):
        pixels = (slice_of(kind) + 1024).astype(np.uint16)
        dataset = make_dicom(pixels, Modality="CT", BodyPartExamined="", PixelSpacing=[1, 1])
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        assert faces.may_show(dataset) is expected
        dataset.PixelData = b""
        assert faces.may_show(dataset) is False
    assert faces.may_show(dcmread(get_testdata_file("CT_small.dcm"))) is False

"""What cannot become a volume is named before its pixels are read, and stops nothing else."""

import tracemalloc

import numpy as np
import pytest
from pydicom.uid import (
    EnhancedSRStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from imaging.volumes import Rejection, read, scan
from tests.imaging.series import Series, write
from tests.imaging.volumes.checked import codes


def test_localizers_and_screens_are_named_and_the_rest_is_read(tmp_path):
    series = Series()
    odd = [
        series.file(0, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        series.file(0, ImageType=["DERIVED", "SECONDARY", "MPR"]),
        series.file(0, ImageType=["DERIVED", "PRIMARY", "SCREEN SAVE"]),
        series.file(0, SOPClassUID=SecondaryCaptureImageStorage),
        series.file(0, SOPClassUID=MultiFrameGrayscaleByteSecondaryCaptureImageStorage),
        series.file(0, SOPClassUID=EnhancedSRStorage),
        series.file(0, BurnedInAnnotation="YES"),
    ]
    reading = read(write(tmp_path, [*odd, *series.files()]))
    assert codes(reading) == [
        Rejection.LOCALIZER,
        Rejection.DERIVED,
        Rejection.SCREEN_SAVE,
        Rejection.SCREEN_SAVE,
        Rejection.SCREEN_SAVE,
        Rejection.CLASS,
        Rejection.BURNED_IN,
    ]
    np.testing.assert_array_equal(reading.volumes[0].volume.array, series.truth())


def test_copies_are_named_and_contradictions_reject_all_of_them(tmp_path):
    series = Series()
    files = series.files()
    (tmp_path / "copies").mkdir()
    reading = read(write(tmp_path / "copies", [*files, files[2]]))
    assert codes(reading) == [Rejection.DUPLICATE]
    assert len(reading.volumes) == 1
    twin = series.file(2, SOPInstanceUID=files[2].SOPInstanceUID, SeriesDescription="another")
    (tmp_path / "twins").mkdir()
    reading = read(write(tmp_path / "twins", [*files, twin]))
    assert not reading.volumes
    assert sorted(codes(reading)) == sorted([Rejection.CONFLICT] * 2 + [Rejection.MISSING_SLICE] * 5)


def test_a_series_of_two_patients_is_named(rejected):
    files = Series().files()
    files[3].PatientID = "P-2"
    assert rejected(files) == {Rejection.MIXED_PATIENTS}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ImagePositionPatient": None}, Rejection.NO_GEOMETRY),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, Rejection.NO_GEOMETRY),
        ({"PixelSpacing": [0, 1]}, Rejection.NO_GEOMETRY),
        ({"FrameOfReferenceUID": None}, Rejection.NO_GEOMETRY),
        ({"PatientID": None}, Rejection.NO_PATIENT),
        ({"SeriesInstanceUID": None}, Rejection.NO_INSTANCE),
        ({"PixelData": None}, Rejection.NO_PIXELS),
        ({"PixelData": bytes(100)}, Rejection.TRUNCATED),
        ({"NumberOfFrames": 2}, Rejection.MULTI_FRAME),
        ({"Rows": 60000, "Columns": 60000}, Rejection.TOO_LARGE),
        ({"RescaleSlope": 0}, Rejection.MALFORMED),
        ({"RescaleSlope": None}, Rejection.NO_RESCALE),
        ({"RescaleIntercept": None}, Rejection.NO_RESCALE),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, Rejection.COLOUR),
    ],
)
def test_slices_that_cannot_be_used_are_named(rejected, attributes, expected):
    assert rejected(Series().files(**attributes)) == {expected}


def test_a_scan_keeps_headers_and_not_the_files(tmp_path):
    series = Series(slices=40, rows=256, columns=256)
    paths = write(tmp_path, series.files())
    del series
    tracemalloc.start()
    found = scan(paths)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.stacks[0].files) == 40
    assert kept < 40 * 50_000 < 40 * 256 * 256

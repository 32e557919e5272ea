"""Planes come into the volume that they belong to, also where one series holds several."""

import numpy as np
import pytest
from pydicom.uid import (
    MRImageStorage,
)

from imaging.volumes import Rejection, read
from tests.imaging.series import CORONAL, Series, enhanced, write
from tests.imaging.volumes.checked import check_geometry, codes


def test_series_in_one_folder_stay_apart(tmp_path):
    first, second = Series(), Series(orientation=CORONAL, slices=4)
    mixed = [file for pair in zip(first.files(), [*second.files(), *second.files()[:2]], strict=True) for file in pair]
    reading = read(write(tmp_path, mixed[:8]))
    assert {source.volume.array.shape for source in reading.volumes} == {(12, 10, 4)}
    assert [source.series for source in reading.volumes] == [first.series, second.series]


@pytest.mark.parametrize(
    "change", [{"Rows": 12, "Columns": 10}, {"PixelSpacing": [1, 1]}, {"FrameOfReferenceUID": "1.2.3"}]
)
def test_planes_of_another_grid_are_another_volume(tmp_path, change):
    series = Series()
    other = series.files(**change)
    reading = read(write(tmp_path, [*series.files(), *other]))
    assert [len(source.instances) for source in reading.volumes] == [6, 6]


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("DiffusionBValue", [0.0, 500.0, 1000.0]),
        ("TemporalPositionIdentifier", [1, 2, 3]),
        ("TriggerTime", [0.0, 110.5, 221.0]),
        ("EchoNumbers", [1, 2]),
        ("AcquisitionNumber", [1, 2]),
        ("ImageType", [["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]]),
    ],
)
def test_a_series_of_four_dimensions_comes_apart(tmp_path, keyword, values):
    series = Series(sop_class=MRImageStorage, modality="MR", intercept=0)
    files = []
    for number, value in enumerate(values):
        part = series.files(**{keyword: value})
        for file in part:
            file.RescaleIntercept = 1000 * number
        files += part
    reading = read(write(tmp_path, files))
    assert codes(reading) == []
    assert len(reading.volumes) == len(values)
    for number, source in enumerate(reading.volumes):
        np.testing.assert_array_equal(source.volume.array, series.truth() + 1000 * number)
        check_geometry(source, series)
    assert len({source.volume.manifest.part for source in reading.volumes}) == len(values)
    assert len({source.volume.manifest.source_digest for source in reading.volumes}) == len(values)


def test_directions_and_b_values_are_taken_together(tmp_path):
    series = Series(sop_class=MRImageStorage, modality="MR")
    kinds = [(0.0, [0, 0, 0]), (500.0, [1, 0, 0]), (500.0, [0, 1, 0]), (1000.0, [1, 0, 0]), (1000.0, [0, 1, 0])]
    files = [f for b, way in kinds for f in series.files(DiffusionBValue=b, DiffusionGradientOrientation=way)]
    reading = read(write(tmp_path, files))
    assert [dict(source.volume.manifest.part)["b_value"] for source in reading.volumes] == [
        "0.0", "500.0", "500.0", "1000.0", "1000.0",
    ]  # fmt: skip


def test_what_cannot_be_told_apart_is_named(rejected):
    series = Series()
    assert rejected([*series.files(), *series.files()]) == {Rejection.AMBIGUOUS}


def test_an_interrupted_last_phase_is_named_and_the_whole_ones_are_read(tmp_path):
    series = Series(sop_class=MRImageStorage, modality="MR")
    files = [file for phase in (1, 2, 3) for file in series.files(TemporalPositionIdentifier=phase)][:-2]
    reading = read(write(tmp_path, files))
    assert len(reading.volumes) == 2
    assert codes(reading) == [Rejection.MISSING_SLICE] * 4


def test_phases_within_one_enhanced_image_come_apart(tmp_path):
    series = Series()
    multi = enhanced([file for phase in (1, 2) for file in series.files(AcquisitionNumber=phase)])
    groups = multi.PerFrameFunctionalGroupsSequence
    groups = sorted(groups, key=lambda group: tuple(group.PlanePositionSequence[0].ImagePositionPatient))
    for number, group in enumerate(groups):
        group.FrameContentSequence[0].TemporalPositionIndex = 1 + number % 2
    reading = read(write(tmp_path, [multi]))
    assert len(reading.volumes) == 2
    for source in reading.volumes:
        np.testing.assert_array_equal(source.volume.array, series.truth())

"""Voxels lie where the standard says, or it is named why nobody can say."""

import highdicom
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.volumes import Rejection, read
from tests.imaging.series import Series, enhanced, write
from tests.imaging.volumes.checked import check_geometry


@settings(max_examples=25)
@given(
    quaternion=st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
    spacing=st.tuples(*[st.floats(0.1, 5)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    data=st.data(),
)
def test_voxels_lie_where_the_standard_says(tmp_path_factory, quaternion, spacing, origin, data):
    w, x, y, z = np.asarray(quaternion) / np.linalg.norm(quaternion)
    right = (1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w))
    down = (2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w))
    rounded = [round(one, 4) for one in spacing]
    series = Series(4, 8, 9, (*right, *down), tuple(rounded[:2]), rounded[2], origin)
    files = data.draw(st.permutations(series.files()))
    reading = read(write(tmp_path_factory.mktemp("series"), files))
    (source,) = reading.volumes
    np.testing.assert_array_equal(source.volume.array, series.truth())
    check_geometry(source, series)


def tilted(series, degrees):
    """Gantry tilt: planes are shifted along their columns as they go."""
    for k, file in enumerate(series.files()):
        shift = k * series.gap * np.tan(np.radians(degrees)) * np.asarray(series.orientation[3:])
        file.ImagePositionPatient = list(np.round(series.position(k) + shift, 6))
        yield file


@pytest.mark.parametrize("degrees", [15, -20, 2])  # highdicom's own tolerance lets 2 degrees pass
def test_a_tilted_gantry_is_named(rejected, degrees):
    assert rejected(list(tilted(Series(slices=12), degrees))) == {Rejection.TILT}


def test_a_missing_slice_is_named(rejected):
    files = Series(slices=9).files()
    assert rejected(files[:4] + files[5:]) == {Rejection.MISSING_SLICE}


def test_irregular_spacing_is_named(rejected):
    files = Series(slices=9).files()
    files[4].ImagePositionPatient = list(np.add(files[4].ImagePositionPatient, [0, 0, 0.4]))
    assert rejected(files) == {Rejection.IRREGULAR_SPACING}


def test_spacing_that_drifts_within_the_tolerance_of_each_gap_is_named(rejected):
    series = Series(slices=200, rows=8, columns=8, gap=1.0)
    files = series.files()
    at = np.cumsum([0, *[0.993] * 100, *[1.007] * 99])
    for file, z in zip(files, at, strict=True):
        file.ImagePositionPatient = [0, 0, round(float(z), 6)]
    assert highdicom.spatial.get_series_volume_positions(files)[0] is not None
    assert rejected(files) == {Rejection.IRREGULAR_SPACING}


def test_rounded_positions_are_no_irregular_spacing(one):
    files = Series(gap=0.625, slices=9).files()
    for file in files:
        file.ImagePositionPatient = [round(value, 2) for value in file.ImagePositionPatient]
    assert one(files).volume.manifest.spacing[2] == pytest.approx(0.625)


def test_slices_shifted_in_their_planes_are_named(rejected):
    files = Series(slices=9).files()
    files[4].ImagePositionPatient = list(np.add(files[4].ImagePositionPatient, [1.0, 0, 0]))
    assert rejected(files) == {Rejection.SHIFTED}


def test_a_tilted_enhanced_image_is_named(rejected):
    assert rejected([enhanced(list(tilted(Series(), 15)))]) == {Rejection.TILT}

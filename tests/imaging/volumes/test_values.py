"""Stored values become meaningful ones, a slice at a time, and nothing is guessed."""

import highdicom
import numpy as np
import pytest
from pydicom.uid import (
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from imaging.volumes import Rejection
from tests.imaging.series import Series, enhanced, item


def test_each_slice_has_its_own_slope(one):
    series = Series()
    files = series.files()
    for k, file in enumerate(files):
        file.RescaleSlope, file.RescaleIntercept = 1 + k / 4, -10 * k
    source = one(files)
    expected = np.stack([series.stored[k] * (1 + k / 4) - 10 * k for k in range(6)]).transpose(2, 1, 0)
    np.testing.assert_allclose(source.volume.array, expected, rtol=1e-6)
    assert (source.volume.array.dtype, source.volume.manifest.rescale) == (np.float32, "linear by slice")


def test_each_frame_of_an_enhanced_image_has_its_own_slope(one):
    series = Series()
    files = series.files()
    for k, file in enumerate(files):
        file.RescaleSlope, file.RescaleIntercept = 1 + k, -10 * k
    multi = enhanced(files)
    source = one([multi])
    expected = np.stack([series.stored[k] * (1 + k) - 10 * k for k in range(6)]).transpose(2, 1, 0)
    np.testing.assert_array_equal(source.volume.array, expected)
    theirs = highdicom.Image.from_dataset(multi).get_volume(apply_presentation_lut=False)
    np.testing.assert_array_equal(source.volume.array, theirs.array[::-1].transpose(2, 1, 0))


def test_an_enhanced_image_without_slopes_is_named(rejected):
    multi = enhanced(Series().files())
    groups = (*multi.SharedFunctionalGroupsSequence, *multi.PerFrameFunctionalGroupsSequence)
    for group in groups:
        if "PixelValueTransformationSequence" in group:
            del group.PixelValueTransformationSequence
    assert rejected([multi]) == {Rejection.NO_RESCALE}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ({"RescaleType": None}, "HU"),
        ({"RescaleType": "US"}, "US"),
        ({"RescaleType": "of Jane Doe"}, None),
        ({"SOPClassUID": PositronEmissionTomographyImageStorage, "Modality": "PT", "Units": "BQML"}, "BQML"),
        ({"SOPClassUID": MRImageStorage, "Modality": "MR"}, None),
    ],
)
def test_the_manifest_names_the_unit(one, kind, expected):
    assert one(Series().files(**kind)).volume.manifest.unit == expected


def test_hounsfield_units_are_never_inverted(one):
    series = Series()
    source = one(series.files(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"))
    np.testing.assert_array_equal(source.volume.array, series.truth())


def test_windows_and_real_world_maps_are_not_applied(one):
    series = Series()
    world_map = item(RealWorldValueFirstValueMapped=0, RealWorldValueLastValueMapped=4095, RealWorldValueSlope=9.0)
    attributes = {"WindowCenter": 40, "WindowWidth": 80, "RealWorldValueMappingSequence": world_map}
    np.testing.assert_array_equal(one(series.files(**attributes)).volume.array, series.truth())

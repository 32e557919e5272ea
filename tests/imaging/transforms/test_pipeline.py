import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.errors import ImagingError
from imaging.transforms import pipeline as transforms

IMAGE = np.arange(40 * 30, dtype=np.uint16).reshape(40, 30)


def test_resize_by_area_is_the_mean_of_each_block():
    image = np.random.default_rng(1).random((16, 32)).astype(np.float32)
    out = transforms.build([("resize", {"size": [8, 8]})])(image)
    assert out.shape == (1, 8, 8)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[0], image.reshape(8, 2, 8, 4).mean(axis=(1, 3)), rtol=1e-5)


def test_standardise_uses_the_image_alone_and_survives_a_constant_one():
    pipeline = transforms.build([("resize", {"size": [16, 16]}), ("standardise", {})])
    out = pipeline(IMAGE)
    assert abs(out.mean()) < 1e-5
    assert abs(out.std() - 1) < 1e-3
    assert not pipeline(np.full((20, 20), 7, dtype=np.float32)).any()


def test_scaling_goes_from_low_to_high():
    out = transforms.build([("crop-or-pad", {"size": [40, 30]}), ("scale-intensity", {"low": -1, "high": 1})])(IMAGE)
    assert (out.min(), out.max()) == (-1, 1)
    spec = [("scale-percentiles", {"lower": 10, "upper": 90}), ("crop-or-pad", {"size": [40, 30]})]
    out = transforms.build(spec)(IMAGE)
    assert (out.min(), out.max()) == (0, 1)
    assert (out == 0).mean() == pytest.approx(0.1, abs=0.01)


@settings(max_examples=25)
@given(st.integers(2, 70), st.integers(2, 70))
def test_every_image_size_ends_in_the_promised_shape(rows, columns):
    pipeline = transforms.build(
        [("center-crop", {"size": [50, 50]}), ("crop-or-pad", {"size": [48, 40]}), ("center-crop", {"size": [64, 24]})]
    )
    assert pipeline.shape == (1, 48, 24)
    assert pipeline(np.ones((rows, columns), dtype=np.float32)).shape == pipeline.shape


def test_the_same_image_gives_the_same_bytes_and_is_not_changed():
    image = IMAGE.astype(np.float32)
    before = image.copy()
    pipeline = transforms.build([("standardise", {}), ("resize", {"size": [24, 24], "mode": "bilinear"})])
    assert pipeline(image).tobytes() == pipeline(image).tobytes()
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("specs", "code"),
    [
        ([("rotate", {})], "transforms.unknown"),
        ([("resize", {"size": [32, 32], "fill": 0})], "parameters.unknown"),
        ([("resize", {"size": 32})], "parameters.invalid"),
        ([("resize", {})], "parameters.missing"),
        ([("scale-intensity", {"low": 1, "high": 1}), ("resize", {"size": [8, 8]})], "parameters.invalid"),
        ([("scale-percentiles", {"lower": 60, "upper": 40}), ("resize", {"size": [8, 8]})], "parameters.invalid"),
        ([("standardise", {})], "transforms.size"),
        ([("center-crop", {"size": [32, 32]})], "transforms.size"),
        ([], "transforms.size"),
    ],
)
def test_what_is_not_allowed_is_refused(specs, code):
    with pytest.raises(ImagingError) as caught:
        transforms.build(specs)
    assert caught.value.code == code


@pytest.mark.parametrize("image", [np.zeros((3, 4, 5)), np.zeros((0, 4)), np.array([[np.nan, 1.0]])])
def test_an_image_that_is_none_is_refused(image):
    with pytest.raises(ImagingError) as caught:
        transforms.build([("resize", {"size": [8, 8]})])(image)
    assert caught.value.code == "transforms.image"

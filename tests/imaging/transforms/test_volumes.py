import numpy as np
import pytest

from imaging.errors import ImagingError
from imaging.transforms import pipeline

SIZED = ("crop-or-pad", {"size": [16, 16, 16]})


def blob(shape=(10, 12, 14)):
    """A box in a volume, and its mask."""
    mask = np.zeros(shape, np.uint8)
    mask[2:6, 3:9, 4:10] = 2
    return mask.astype(np.float32) * 10, mask


def test_spacing_gives_the_public_voxel_size_and_the_mask_stays_on_its_image():
    image, mask = blob()
    chain = pipeline.build([("spacing", {"millimetres": [1, 1, 1]}), ("crop-or-pad", {"size": [32, 16, 16]})], 3)
    out, moved = chain.pair(image, np.diag([2.0, 1.0, 1.0, 1.0]), mask)
    assert out.shape == (1, 32, 16, 16) == chain.shape
    assert moved.shape == (32, 16, 16)
    assert moved.dtype == np.uint8
    assert set(np.unique(moved)) == {0, 2}
    assert (moved > 0).sum() == pytest.approx(2 * (mask > 0).sum(), rel=0.15)
    agree = (out[0] > 10) == (moved > 0)
    assert agree.mean() > 0.98


def test_orientation_turns_image_and_mask_to_right_anterior_superior():
    image, mask = blob()
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    chain = pipeline.build([("orient", {}), SIZED], 3)
    turned, moved = chain.pair(image, lps, mask)
    straight, unmoved = chain.pair(image[::-1, ::-1], np.eye(4), mask[::-1, ::-1])
    np.testing.assert_array_equal(turned, straight)
    np.testing.assert_array_equal(moved, unmoved)


@pytest.mark.filterwarnings("error")
def test_stored_arrays_are_read_only_and_are_copied():
    image, affine = np.random.default_rng(1).normal(size=(9, 8, 7)).astype(np.float32), np.diag([2.0, 1.0, 1.0, 1.0])
    before = image.copy()
    for array in (image, affine):
        array.flags.writeable = False
    mask = (image > 0).astype(np.uint8)
    mask.flags.writeable = False
    steps = [("orient", {}), ("crop-or-pad", {"size": [8, 8, 8]}), ("window", {"low": -1.0, "high": 1.0})]
    pipeline.build(steps, 3).pair(image, affine, mask)
    np.testing.assert_array_equal(image, before)


def test_a_window_has_public_bounds():
    image = np.linspace(-2000, 2000, 16**3).reshape(16, 16, 16)
    out = pipeline.build([("window", {"low": -100, "high": 300}), SIZED], 3)(image)
    assert (out.min(), out.max()) == (0, 1)
    assert out[0, 8, 8, 8] == pytest.approx((image[8, 8, 8] + 100) / 400, abs=1e-5)


def test_a_mask_is_not_touched_by_intensities_and_is_resized_by_nearest_neighbours():
    image, mask = blob()
    chain = pipeline.build([("standardise", {}), ("resize", {"size": [20, 24, 28], "mode": "bilinear"})], 3)
    out, moved = chain.pair(image, None, mask)
    assert out.shape == (1, 20, 24, 28)
    np.testing.assert_array_equal(moved, mask.repeat(2, 0).repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize(
    ("specs", "dimensions", "code"),
    [
        ([("spacing", {"millimetres": [1, 1]}), SIZED], 3, "parameters.invalid"),
        ([("spacing", {"millimetres": [1, 1, 0]}), SIZED], 3, "parameters.invalid"),
        ([("spacing", {"millimetres": [1, 1, float("nan")]}), SIZED], 3, "parameters.invalid"),
        ([SIZED], 2, "parameters.invalid"),
        ([("resize", {"size": [16, 16]})], 3, "parameters.invalid"),
        ([("orient", {}), ("resize", {"size": [16, 16]})], 2, "transforms.dimensions"),
        ([SIZED, ("spacing", {"millimetres": [1, 1, 1]})], 3, "transforms.size"),
        ([("window", {"low": 5, "high": 5}), SIZED], 3, "parameters.invalid"),
    ],
)
def test_what_is_not_allowed_is_refused(specs, dimensions, code):
    with pytest.raises(ImagingError) as caught:
        pipeline.build(specs, dimensions)
    assert caught.value.code == code


def test_a_volume_of_unknown_place_and_a_mask_of_another_shape_are_refused():
    image, mask = blob()
    chain = pipeline.build([("orient", {}), SIZED], 3)
    for affine, wrong, code in ((None, None, "transforms.affine"), (np.eye(4), mask[1:], "transforms.mask")):
        with pytest.raises(ImagingError) as caught:
            chain.pair(image, affine, wrong)
        assert caught.value.code == code
    with pytest.raises(ImagingError, match="three-dimensional"):
        chain(np.zeros((4, 4)), np.eye(4))

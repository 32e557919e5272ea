import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.errors import ImagingError
from imaging.labels.mask import Canvas, Grid, fit

AFFINE = np.array([[-0.7, 0.1, 0, 5], [0.2, 1.5, -0.3, -9], [0, 0.4, 3, 70], [0, 0, 0, 1.0]])
GRID = Grid((7, 6, 5), AFFINE)
TURNS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


def turned(array, affine, order, signs):
    """The same voxels in the same places, with axes exchanged and reversed."""
    step = np.zeros((4, 4))
    step[3, 3] = 1
    for axis, (source, sign) in enumerate(zip(order, signs, strict=True)):
        step[source, axis] = sign
        step[source, 3] = 0 if sign > 0 else array.shape[source] - 1
    return array.transpose(order)[tuple(slice(None, None, sign) for sign in signs)], affine @ step


def placed(array, affine, grid=GRID):
    whole = np.zeros(grid.shape, dtype=bool)
    where, piece = fit(array, affine, grid)
    whole[where] = piece
    return whole


def truth(seed=1, shape=GRID.shape):
    return np.random.default_rng(seed).random(shape) < 0.4


@pytest.mark.parametrize(("order", "signs"), TURNS)
def test_every_order_and_direction_of_axes_is_undone(order, signs):
    array = truth()
    np.testing.assert_array_equal(placed(*turned(array, AFFINE, order, signs)), array)


@given(st.data())
def test_any_part_of_the_grid_lands_where_it_was_cut(data):
    order, signs = data.draw(st.sampled_from(TURNS))
    cut = []
    for length in GRID.shape:
        low = data.draw(st.integers(0, length - 1))
        cut.append(slice(low, data.draw(st.integers(low + 1, length))))
    array = np.zeros(GRID.shape, dtype=bool)
    array[tuple(cut)] = truth()[tuple(cut)]
    shift = np.eye(4)
    shift[:3, 3] = [part.start for part in cut]
    np.testing.assert_array_equal(placed(*turned(array[tuple(cut)], AFFINE @ shift, order, signs)), array)


def test_what_is_larger_than_the_image_may_only_be_empty_outside():
    shift = np.eye(4)
    shift[:3, 3] = -2
    array = np.zeros((11, 10, 9), dtype=bool)
    array[2:-2, 2:-2, 2:-2] = truth()
    np.testing.assert_array_equal(placed(array, AFFINE @ shift), truth())
    for corner in (0, -1):
        outside = array.copy()
        outside[corner, 3, 3] = True
        with pytest.raises(ImagingError) as caught:
            placed(outside, AFFINE @ shift)
        assert caught.value.code == "mask.outside"


def test_a_mask_beside_the_image_is_outside():
    for far in (-20, 20):
        shift = np.eye(4)
        shift[0, 3] = far
        with pytest.raises(ImagingError) as caught:
            placed(truth(), AFFINE @ shift)
        assert caught.value.code == "mask.outside"
        assert not placed(np.zeros(GRID.shape, dtype=bool), AFFINE @ shift).any()


@pytest.mark.parametrize(
    "change",
    [
        np.diag([1.1, 1, 1, 1]),
        np.diag([2.0, 1, 1, 1]),
        np.diag([0.0, 1, 1, 1]),
        np.array([[1, 0, 0, 0.3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        np.array([[1, 0, 0.1, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        np.array([[0.6, -0.8, 0, 0], [0.8, 0.6, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        np.array([[np.nan, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    ],
)
def test_what_lies_off_the_voxels_is_refused(change):
    with pytest.raises(ImagingError) as caught:
        placed(truth(), AFFINE @ change)
    assert caught.value.code == "mask.geometry"


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.eye(3), np.full((4, 4), np.nan)])
def test_an_image_without_geometry_takes_no_mask(affine):
    with pytest.raises(ImagingError) as caught:
        Grid((3, 3, 3), affine)
    assert caught.value.code == "mask.geometry"


def test_classes_that_overlap_become_layers_and_say_what_is_empty(monkeypatch):
    canvas = Canvas(GRID, ["a", "b", "c"])
    everywhere = (slice(None),) * 3
    first, second = truth(1), truth(2)
    canvas.paint(0, everywhere, first & ~second)
    canvas.paint(1, everywhere, second & ~first)
    canvas.paint(1, everywhere, second & ~first)
    one = canvas.finish()
    assert not one.overlapping
    np.testing.assert_array_equal(one.array == 1, first & ~second)
    assert one.warnings == ("mask.class_empty",)
    canvas = Canvas(GRID, ["a", "b", "c"])
    for index, piece in enumerate((first, second, first)):
        canvas.paint(index, everywhere, piece)
    many = canvas.finish()
    assert many.overlapping
    np.testing.assert_array_equal(many.array, [first, second, first])
    assert many.counts() == {"a": first.sum(), "b": second.sum(), "c": first.sum()}
    assert many.warnings == ()
    assert Canvas(GRID, ["a"]).finish().warnings == ("mask.class_empty", "mask.empty")
    monkeypatch.setattr("imaging.labels.mask.MAX_BYTES", 100)
    canvas = Canvas(GRID, ["a", "b"])
    canvas.paint(0, everywhere, first)
    with pytest.raises(ImagingError) as caught:
        canvas.paint(1, everywhere, first)
    assert caught.value.code == "mask.too_large"

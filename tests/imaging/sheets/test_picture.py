import io

import numpy as np
import pytest
from PIL import Image

from imaging.sheets import picture
from imaging.sheets.picture import BOX, COLOURS

SHAPE = (10, 12, 8)


def head():
    """(right, front, top) of RAS: a bright corner at each end that tells the directions apart."""
    array = np.zeros(SHAPE, np.float32)
    array[-3:, :, :] = 1  # the patient's right
    array[:, -3:, :] += 2  # front
    array[:, :, -3:] += 4  # top
    return array


def placed(order, backwards):
    """The same head stored with other axes, and the affine that says so."""
    array, affine = head(), np.zeros((4, 4))
    for axis, (world, back) in enumerate(zip(order, backwards, strict=True)):
        affine[world, axis] = -2.0 if back else 2.0
    affine[3, 3] = 1
    array = array.transpose(order)
    return np.flip(array, [axis for axis in range(3) if backwards[axis]]), affine


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("backwards", [(False, False, False), (True, True, False), (True, False, True)])
def test_a_volume_is_shown_the_same_however_it_is_stored(order, backwards):
    array, affine = placed(order, backwards)
    axial, coronal, sagittal = picture.slices(array, None, affine, (2.0, 2.0, 2.0), 1)
    assert axial.values.shape == (12, 10)
    assert (axial.values[5, 0], axial.values[5, -1]) == (1, 0)  # the patient's right is on the left
    assert (axial.values[0, 5], axial.values[-1, 5]) == (2, 0)  # front is up
    assert coronal.values.shape == (8, 10)
    assert (coronal.values[0, 5], coronal.values[-1, 5], coronal.values[-1, 0]) == (4, 0, 1)  # top is up
    assert sagittal.values.shape == (8, 12)
    assert (sagittal.values[-1, 0], sagittal.values[-1, -1], sagittal.values[0, 5]) == (2, 0, 4)  # front on the left


def test_the_slices_go_where_the_mask_is_largest_and_outline_it():
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:4, 6:9, 6] = 2
    mask[2, 7, 5] = 1
    axial, *_ = shown = picture.slices(head(), mask, np.eye(4), None, 2)
    assert axial.classes.shape == (2, 12, 10)
    assert axial.classes[1].sum() == 9
    pixels = np.array(picture.draw(shown, 0, 7).convert("RGB")).reshape(-1, 3)
    colours = {tuple(pixel) for pixel in np.unique(pixels, axis=0).tolist()}
    assert COLOURS[1] in colours
    layers = np.stack([mask == 1, mask == 2])
    again = picture.slices(head(), layers, np.eye(4), None, 2)
    np.testing.assert_array_equal(np.array(picture.draw(again, 0, 7)), np.array(picture.draw(shown, 0, 7)))


def test_millimetres_decide_the_form_and_images_stay_as_they_lie():
    array = np.arange(40 * 20, dtype=np.uint16).reshape(40, 20)
    (plane,) = picture.slices(array, None, None, (0.5, 2.0), 1)
    np.testing.assert_array_equal(plane.values, array)
    drawn = np.array(picture.draw([plane], *picture.limits(array)).convert("L"))
    assert drawn.shape == (BOX, BOX)
    rows, columns = np.nonzero(drawn)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (BOX // 2, BOX)


def test_a_constant_image_and_a_wide_range_are_drawn():
    flat = picture.slices(np.full((9, 9), 7.0), None, None, None, 1)
    assert not np.array(picture.draw(flat, 7, 7)).any()
    assert picture.limits(np.array([0.0] * 999 + [1e9]))[1] < 1e9


def test_png_is_a_small_picture_of_its_own():
    drawn = picture.draw(picture.slices(head(), None, None, None, 1), 0, 7)
    data = picture.png(drawn)
    again = Image.open(io.BytesIO(data))
    assert (again.size, again.info) == (drawn.size, {})
    sheets = list(picture.sheets([(str(number), drawn) for number in range(5)], per_page=3))
    assert [sheet.height > drawn.height for sheet in sheets] == [True, True]

import gzip

import nibabel
import numpy as np
import pytest

from imaging.errors import ImagingError
from imaging.labels import masks
from imaging.labels.mask import Grid
from imaging.volumes.rejection import Rejection

AFFINE = np.array([[-0.6, 0.8, 0, 5], [0.8, 0.6, 0, -9], [0, 0, 3, 70], [0, 0, 0, 1.0]])
GRID = Grid((7, 6, 5), AFFINE)
CLASSES = {"anterior": (1,), "posterior": (2, 5)}


@pytest.fixture
def store(tmp_path):
    def store(values, affine=AFFINE, name="mask.nii.gz", kind=nibabel.Nifti1Image, header=None):
        path = tmp_path / name
        image = kind(values, affine)
        if header is not None:
            header(image)
        nibabel.save(image, path)
        return path

    return store


def values(dtype=np.uint8):
    return np.random.default_rng(1).choice([0, 1, 2, 5], GRID.shape).astype(dtype)


def expected():
    return np.array([0, 1, 2, 0, 0, 2], dtype=np.uint8)[values()]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_declared_values_become_classes(store, dtype, kind):
    mask = masks.read(store(values(dtype), kind=kind), CLASSES, GRID)
    np.testing.assert_array_equal(mask.array, expected())
    assert mask.classes == ("anterior", "posterior")
    assert mask.warnings == ()


def test_a_scaled_mask_a_fourth_axis_and_another_order_of_axes_are_read(store):
    def scaled(image):
        image.header.set_slope_inter(1.0, 0.0)

    np.testing.assert_array_equal(masks.read(store(values(np.int16), header=scaled), CLASSES, GRID).array, expected())
    np.testing.assert_array_equal(masks.read(store(values()[..., None]), CLASSES, GRID).array, expected())
    canonical = nibabel.as_closest_canonical(nibabel.Nifti1Image(values(), AFFINE))
    path = store(np.asarray(canonical.dataobj), canonical.affine, "mask.nii")
    np.testing.assert_array_equal(masks.read(path, CLASSES, GRID).array, expected())


def test_an_empty_mask_is_a_warning(store):
    mask = masks.read(store(np.zeros(GRID.shape, dtype=np.uint8)), CLASSES, GRID)
    assert mask.warnings == ("mask.class_empty", "mask.empty")


def two_geometries(image):
    image.set_sform(AFFINE, 1)
    other = AFFINE.copy()
    other[0, 3] += 2
    image.set_qform(other, 1)


SHIFTED = AFFINE + np.array([[0, 0, 0, 0.4], [0] * 4, [0] * 4, [0] * 4])


@pytest.mark.parametrize(
    ("array", "more", "code"),
    [
        (values() + np.uint8(1), {}, "mask.value"),
        (values(np.float32) + np.float32(0.5), {}, "mask.value"),
        (np.full(GRID.shape, np.nan, np.float32), {}, "nifti.not_finite"),
        (values(np.complex64), {}, Rejection.PIXEL_FORMAT.value),
        (values()[:-1], {}, "mask.geometry"),
        (values()[..., None].repeat(2, axis=3), {}, "mask.geometry"),
        (values(), {"affine": SHIFTED}, "mask.geometry"),
        (values(), {"affine": AFFINE @ np.diag([1, 1, 1.1, 1])}, "mask.geometry"),
        (values(), {"affine": AFFINE + np.array([[0, 0, 0, 30], [0] * 4, [0] * 4, [0] * 4])}, "mask.outside"),
        (values(), {"header": two_geometries}, "nifti.conflicting_orientations"),
    ],
)
def test_another_images_mask_is_refused(store, array, more, code):
    with pytest.raises(ImagingError) as caught:
        masks.read(store(array, **more), CLASSES, GRID)
    assert caught.value.code == code


def test_a_header_without_geometry_gets_none(store, tmp_path):
    data = bytearray(store(values(), name="made.nii").read_bytes())
    data[252:256] = bytes(4)  # qform_code and sform_code
    (tmp_path / "none.nii").write_bytes(data)
    with pytest.raises(ImagingError) as caught:
        masks.read(tmp_path / "none.nii", CLASSES, GRID)
    assert caught.value.code == "nifti.no_orientation"


def test_other_and_damaged_files_are_refused(store, tmp_path):
    good = store(values(), name="good.nii").read_bytes()
    cases = {
        "a.nii": b"",
        "b.nii": b"x" * 1000,
        "c.nii": good[:-30],
        "d.nii.gz": gzip.compress(good)[:-20],
        "g.nii": good[:80] + bytes(200) + good[280:],
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImagingError) as caught:
            masks.read(tmp_path / name, CLASSES, GRID)
        assert caught.value.code in ("nifti.malformed", "dicom.truncated", "mask.geometry"), name
        assert name not in str(caught.value)
    with pytest.raises(ImagingError) as caught:
        masks.read(tmp_path / "absent.nii", CLASSES, GRID)
    assert caught.value.code == Rejection.UNREADABLE.value


def test_a_header_that_promises_much_is_refused_before_it_is_read(store, tmp_path):
    path = store(values(), name="bomb.nii")
    data = bytearray(path.read_bytes())
    data[42:48] = np.array([30000] * 3, dtype="<i2").tobytes()
    path.write_bytes(data)
    with pytest.raises(ImagingError) as caught:
        masks.read(path, CLASSES, GRID)
    assert caught.value.code == "mask.geometry"


def test_a_value_means_one_class(store):
    for classes in ({"a": (0,)}, {"a": (1,), "b": (1, 2)}):
        with pytest.raises(RuntimeError):
            masks.read(store(values()), classes, GRID)

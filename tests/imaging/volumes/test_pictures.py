import gzip
import io
import random
from contextlib import suppress

import nibabel
import numpy as np
import pytest
from PIL import Image, ImageFile

from imaging.volumes import pictures
from imaging.volumes.rejection import ImageRejected, Rejection

RAMP = np.arange(8 * 9 * 10, dtype=np.int16).reshape(8, 9, 10)
ROTATED = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, -7], [0, 0, 3.0, 11], [0, 0, 0, 1]])


def nifti(array=RAMP, affine=ROTATED, qform=None, kind=nibabel.Nifti1Image, units="mm", scaling=None):
    image = kind(array, None)
    image.set_sform(affine, 0 if affine is None else 2)
    image.set_qform(qform, 0 if qform is None else 1)
    image.header.set_xyzt_units(units)
    if scaling:
        image.header.set_slope_inter(*scaling)
    return image.to_bytes()


@pytest.fixture
def load(tmp_path):
    def load(data, **options):
        (tmp_path / "file").write_bytes(data)
        return pictures.read(tmp_path / "file", **options)

    return load


@pytest.fixture
def rejection(load):
    def rejection(data, **options):
        with pytest.raises(ImageRejected) as caught:
            load(data, **options)
        return caught.value.rejection

    return rejection


def encoded(array_or_image, kind="PNG", **options):
    image = array_or_image if isinstance(array_or_image, Image.Image) else Image.fromarray(array_or_image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("forms", [{}, {"affine": None, "qform": ROTATED}, {"qform": ROTATED}])
def test_nifti_volumes_keep_axes_values_and_place(load, kind, compress, forms):
    (volume,) = load(compress(nifti(kind=kind, **forms)))
    np.testing.assert_array_equal(volume.array, RAMP)
    np.testing.assert_allclose(volume.affine, ROTATED, atol=1e-5)
    assert (volume.manifest.spacing, volume.manifest.orientation) == (pytest.approx((1.5, 2, 3)), "ALS")
    assert (volume.manifest.source, volume.manifest.dtype) == ("nifti", "int16")


def test_big_endian_nifti_is_read(load):
    header = nibabel.Nifti1Header(endianness=">")
    image = nibabel.Nifti1Image(RAMP, ROTATED, header)
    (volume,) = load(image.to_bytes())
    np.testing.assert_array_equal(volume.array, RAMP)
    assert volume.array.dtype.isnative


def test_nifti_scaling_is_applied(load):
    data = bytearray(nifti())
    data[112:120] = np.array([0.5, -3], "<f4").tobytes()
    (volume,) = load(bytes(data))
    np.testing.assert_allclose(volume.array, RAMP * 0.5 - 3)
    assert volume.manifest.rescale == "linear"


def test_nifti_of_four_dimensions_comes_apart(load):
    series = np.stack([RAMP, RAMP + 1000], axis=-1)
    volumes = load(nifti(series))
    for volume, expected in zip(volumes, (RAMP, RAMP + 1000), strict=True):
        np.testing.assert_array_equal(volume.array, expected)
    assert [dict(volume.manifest.part) for volume in volumes] == [{"volume": "0"}, {"volume": "1"}]
    assert volumes[0].manifest.source_digest != volumes[1].manifest.source_digest


def test_units_that_are_not_stated_are_said_to_be_assumed(load):
    assert load(nifti(units="unknown"))[0].manifest.spacing_source == "assumed"
    assert load(nifti())[0].manifest.spacing_source == "patient"


NEGATIVE = nifti()[:80] + np.float32(-2).tobytes() + nifti()[84:]  # nibabel alone takes the absolute value
SHIFTED = ROTATED + np.array([[0, 0, 0, 4.0], [0] * 4, [0] * 4, [0] * 4])
SHEARED = ROTATED + np.array([[0, 0, 0.6, 0], [0] * 4, [0] * 4, [0] * 4])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (nifti(affine=None), Rejection.NIFTI_ORIENTATION),
        (nifti(qform=SHIFTED), Rejection.NIFTI_CONFLICT),
        (nifti(affine=SHEARED), Rejection.NIFTI_SHEARED),
        (nifti(affine=np.diag([1.0, 0, 1, 1])), Rejection.NIFTI),
        (nifti(units="meter"), Rejection.NIFTI_UNITS),
        (nifti(np.ones((8, 8), np.int16)), Rejection.NIFTI_SHAPE),
        (nifti(np.zeros((8, 8, 8, 2, 2), np.int16)), Rejection.NIFTI_SHAPE),
        (nifti(np.zeros((8, 8, 8), np.int16)), Rejection.CONSTANT),
        (nifti(np.full((8, 8, 8), np.nan, np.float32)), Rejection.NIFTI_VALUES),
        (nifti(np.zeros((8, 8, 8), np.complex64)), Rejection.PIXEL_FORMAT),
        (nifti(RAMP.astype(np.int32) + 2**25), Rejection.PIXEL_FORMAT),
        (nifti(np.zeros((8, 8, 8), [("R", "u1"), ("G", "u1"), ("B", "u1")])), Rejection.COLOUR),
        (nifti()[:-1], Rejection.TRUNCATED),
        (nifti()[:200], Rejection.NIFTI),
        (NEGATIVE, Rejection.NIFTI),
        (gzip.compress(nifti())[:-200], Rejection.NIFTI),
        (b"", Rejection.NIFTI),
        (b"\x1f\x8b rubbish", Rejection.NIFTI),
    ],
)
def test_nifti_that_cannot_be_trusted_is_named(rejection, data, expected):
    assert rejection(data) == expected


def test_a_small_file_cannot_ask_for_gigabytes(rejection):
    data = bytearray(nifti())
    data[42:48] = np.array([32767, 32767, 32767], "<i2").tobytes()
    assert rejection(gzip.compress(bytes(data))) == Rejection.TOO_LARGE


def test_no_more_is_inflated_than_the_header_declares(load, monkeypatch):
    bomb = gzip.compress(nifti() + bytes(20_000_000))
    inflated = []
    whole = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size=-1: inflated.append(size) or whole(self, size))
    np.testing.assert_array_equal(load(bomb)[0].array, RAMP)
    assert all(size >= 0 for size in inflated)
    assert sum(inflated) < 10_000


def test_every_crop_of_the_hippocampus_set_is_read(shared_data):
    paths = sorted((shared_data / "hippocampus" / "images").iterdir())[::13]
    if not paths:
        pytest.skip("no hippocampus images in the shared data")
    for path in paths:
        (volume,) = pictures.read(path)
        np.testing.assert_array_equal(volume.affine, nibabel.load(path).affine)
        np.testing.assert_allclose(volume.array, nibabel.load(path).get_fdata(), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_pictures_are_read_as_they_are(load, dtype):
    pixels = (np.arange(120).reshape(10, 12) * (1 if dtype is np.uint8 else 500)).astype(dtype)
    (image,) = load(encoded(pixels))
    np.testing.assert_array_equal(image.array, pixels)
    assert (image.array.dtype, image.affine) == (dtype, None)
    assert (image.manifest.source, image.manifest.lossy) == ("png", False)
    assert load(encoded(pixels.astype(np.uint8), "JPEG"))[0].manifest.lossy


def test_coloured_pictures_are_refused_unless_their_luminance_is_wanted(load, rejection):
    pixels = np.zeros((10, 12, 3), np.uint8)
    pixels[:5, :, 0] = pixels[2:, :, 1] = 200
    data = encoded(pixels)
    assert rejection(data) == Rejection.COLOUR
    (image,) = load(data, colour="luminance")
    np.testing.assert_allclose(image.array, pixels @ [0.299, 0.587, 0.114], rtol=1e-6)
    assert image.manifest.photometric == "luminance"


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


GREY = np.arange(120, dtype=np.uint8).reshape(10, 12)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(Image.fromarray(GREY).convert("LA")), Rejection.PICTURE_MODE),
        (encoded(Image.fromarray(GREY).convert("P")), Rejection.PICTURE_MODE),
        (encoded(Image.fromarray(GREY).convert("RGB").convert("CMYK"), "JPEG"), Rejection.PICTURE_MODE),
        (encoded(GREY, "JPEG", exif=exif(6)), Rejection.PICTURE_ROTATED),
        (encoded(GREY[:4]), Rejection.TOO_SMALL),
        (encoded(GREY * 0), Rejection.CONSTANT),
        (encoded(GREY)[:-30], Rejection.PICTURE),
        (
            encoded(GREY, save_all=True, append_images=[Image.fromarray(GREY.T.copy()).resize((12, 10))]),
            Rejection.MULTI_FRAME,
        ),
        (b"\x89PNG\r\n\x1a\n", Rejection.PICTURE),
    ],
)
def test_pictures_that_cannot_be_used_are_named(rejection, data, expected):
    assert rejection(data) == expected


def test_the_size_of_a_picture_is_checked_before_it_is_decoded(rejection, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 100)
    data = encoded(np.tile(GREY, (2, 2)))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("it was decoded"))
    assert rejection(data) == Rejection.TOO_LARGE


@pytest.mark.filterwarnings("error")
def test_damaged_files_are_read_or_named(load, caplog):
    source = random.Random(3)
    for whole in (encoded(GREY), encoded(GREY, "JPEG"), nifti(), gzip.compress(nifti())):
        for _ in range(80):
            damaged = bytearray(whole)
            for _ in range(source.choice([1, 3])):
                damaged[source.randrange(min(len(damaged), 600))] = source.randrange(256)
            with suppress(ImageRejected):
                load(bytes(damaged))
    assert not caplog.text


def test_a_cut_picture_is_refused_whatever_another_library_switched_on(rejection, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as WeasyPrint does
    assert rejection(encoded(GREY)[:-30]) == Rejection.PICTURE

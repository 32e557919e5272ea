"""Whole volumes out of files: as they were made, as other libraries read them, and the same each time."""

import highdicom
import numpy as np
import pytest
from pydicom.uid import (
    JPEG2000Lossless,
    RLELossless,
)

from imaging.volumes import decode, read, scan
from tests.imaging.series import AXIAL, CORONAL, SAGITTAL, Series, enhanced, write
from tests.imaging.volumes.checked import check_geometry


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL, (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)])
@pytest.mark.parametrize("order", [1, -1])
def test_a_plain_series_has_its_values_and_its_place(one, orientation, order):
    series = Series(orientation=orientation)
    source = one(series.files()[::order])
    np.testing.assert_array_equal(source.volume.array, series.truth())
    check_geometry(source, series)
    assert source.volume.array.dtype == np.int16
    assert not source.volume.array.flags.writeable
    assert not source.volume.affine.flags.writeable
    assert np.linalg.det(source.volume.affine[:3, :3]) > 0
    manifest = source.volume.manifest
    assert manifest.spacing == (0.8, 0.7, 2.5)
    assert (manifest.modality, manifest.rescale, manifest.photometric) == ("CT", "linear", "as stored")
    assert (manifest.shape, manifest.files, manifest.lossy) == ((12, 10, 6), 6, False)
    expected = {AXIAL: "LPS", SAGITTAL: "PIL", CORONAL: "LIP"}  # of the direction of growing indices
    assert orientation not in expected or manifest.orientation[:2] == expected[orientation][:2]


def test_highdicom_gives_the_same_volume(one):
    series = Series(orientation=SAGITTAL)
    files = series.files()
    ours = one(files).volume
    theirs = highdicom.get_volume_from_series(files)
    np.testing.assert_array_equal(ours.array, theirs.array[::-1].transpose(2, 1, 0))
    to_theirs = np.array([[0, 0, -1, 5], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ ours.affine, theirs.affine @ to_theirs, atol=1e-9)


def test_the_source_keeps_what_labels_refer_to(one):
    series = Series()
    files = series.files()
    source = one(files[::-1])
    assert (source.patient, source.study, source.series) == ("P-1", series.study, series.series)
    assert source.frame_of_reference == series.frame_of_reference
    assert [position.instance for position in source.positions] == [file.SOPInstanceUID for file in files]
    assert [position.frame for position in source.positions] == [1] * 6
    np.testing.assert_allclose(
        [position.position for position in source.positions], [series.position(k) for k in range(6)]
    )
    assert all("PixelData" not in dataset for dataset in source.datasets)
    assert source.instances == tuple(dataset.SOPInstanceUID for dataset in source.datasets)
    for secret in ("P-1", series.study, series.series, files[0].SOPInstanceUID):
        assert secret not in repr(source) + source.volume.manifest.canonical().decode()


def test_an_enhanced_image_is_the_series_it_was_made_of(one):
    series = Series()
    source = one([enhanced(series.files())])
    np.testing.assert_array_equal(source.volume.array, series.truth())
    check_geometry(source, series)
    assert sorted(position.frame for position in source.positions) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_a_compressed_enhanced_image_is_the_same(one, syntax):
    series = Series(rows=32, columns=32)
    multi = enhanced(series.files()[::-1])
    multi.compress(syntax, generate_instance_uid=False)
    np.testing.assert_array_equal(one([multi]).volume.array, series.truth())


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_a_compressed_series_is_the_same_series(one, syntax):
    series = Series(rows=64, columns=64)
    files = series.files()
    for file in files:
        file.compress(syntax, generate_instance_uid=False)
    source = one(files)
    np.testing.assert_array_equal(source.volume.array, series.truth())
    assert source.volume.manifest.syntaxes == (str(syntax),)
    decoder = {RLELossless: "pydicom ", JPEG2000Lossless: "pylibjpeg-openjpeg "}[syntax]
    assert source.volume.manifest.decoders[0].startswith(decoder)


def test_loss_is_kept_in_mind(one):
    assert one(Series().files(LossyImageCompression="01")).volume.manifest.lossy


def test_one_slice_is_an_image_whose_affine_makes_up_no_third_spacing(one):
    series = Series(slices=1)
    volume = one(series.files()).volume
    np.testing.assert_array_equal(volume.array, series.truth()[:, :, 0].T)
    np.testing.assert_allclose((volume.affine @ [2, 5, 0, 1])[:3], series.world(5, 2, 0))
    assert np.linalg.norm(volume.affine[:3, 2]) == pytest.approx(1)
    assert volume.manifest.spacing == (0.7, 0.8)


def test_a_file_that_changes_between_scan_and_decoding_is_named(tmp_path):
    paths = write(tmp_path, Series().files())
    (stack,) = scan(paths).stacks
    paths[3].write_bytes(paths[2].read_bytes())
    with pytest.raises(Exception, match="changed while it was read"):
        decode(stack)


def test_the_digest_names_the_content_and_its_order_and_nothing_else(tmp_path):
    series = Series()
    files = series.files()
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (one,) = scan(write(tmp_path / "a", files)).stacks
    (same,) = scan(write(tmp_path / "b", files[::-1])).stacks
    files[2].PixelData = files[3].PixelData
    (other,) = scan(write(tmp_path / "c", files)).stacks
    assert one.digest == same.digest != other.digest


@pytest.mark.filterwarnings("error")
def test_damaged_series_are_read_or_rejected_without_a_word(tmp_path, caplog):
    source = np.random.default_rng(7)
    paths = write(tmp_path, [*Series().files(), enhanced(Series().files())])
    whole = [path.read_bytes() for path in paths]
    for _ in range(30):
        for path, data in zip(paths, whole, strict=True):
            damaged = bytearray(data)
            for at in source.integers(132, len(data), size=3):
                damaged[at] = source.integers(256)
            path.write_bytes(damaged)
        reading = read(paths)
        used = {instance for volume in reading.volumes for instance in volume.instances}
        assert len(used) + len({one.path for one in reading.rejected}) >= len(paths) - 1
    assert not caplog.text

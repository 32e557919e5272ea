import highdicom
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import JPEGLSLossless, RLELossless

from imaging.errors import ImagingError
from imaging.labels import opening, segmentation
from imaging.labels.mask import LPS, Grid
from imaging.labels.selection import ClassRule, Code

LIVER, SPLEEN = ClassRule("liver", labels=("Liver",)), ClassRule("spleen", labels=("Spleen",))


def drawn(shape, seed=1, share=0.4):
    array = np.random.default_rng(seed).random(shape) < share
    array[:, :, 0] = False  # a frame that highdicom leaves out
    return array


@pytest.mark.parametrize("oblique", [False, True])
@pytest.mark.parametrize("more", [{}, {"transfer_syntax_uid": RLELossless, "kind": "FRACTIONAL"}])
def test_segments_land_on_the_voxels_that_they_were_drawn_on(scan, oblique, more):
    made = scan(oblique=oblique)
    array = drawn(made.shape)
    mask = segmentation.read(made.segment(array.astype(np.uint8), ["Liver"], **more), [LIVER], made.grid)
    np.testing.assert_array_equal(mask.array, array)
    assert mask.array.dtype == np.uint8
    assert mask.counts() == {"liver": array.sum()}
    assert mask.warnings == ()


def test_frames_of_one_bit_a_pixel_may_begin_amid_a_byte(scan):
    made = scan(shape=(7, 5, 6))
    array = drawn(made.shape)
    mask = segmentation.read(made.segment(array.astype(np.uint8), ["Liver"]), [LIVER], made.grid)
    np.testing.assert_array_equal(mask.array, array)


def test_this_is_where_highdicom_has_them_in_the_world(scan):
    made = scan(oblique=True)
    path = made.segment(drawn(made.shape).astype(np.uint8), ["Liver"])
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    mask = segmentation.read(path, [LIVER], made.grid)
    theirs = np.argwhere(volume.array) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    ours = np.argwhere(mask.array) @ (LPS @ mask.affine)[:3, :3].T + (LPS @ mask.affine)[:3, 3]
    order = [np.lexsort(points.round(3).T) for points in (theirs, ours)]
    np.testing.assert_allclose(ours[order[1]], theirs[order[0]], atol=1e-4)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_several_segments_become_classes(scan, kind):
    made = scan()
    number = np.random.default_rng(2).integers(0, 4, made.shape).astype(np.uint8)
    path = made.segment(number, ["Spleen", "Doe^Jane", "liver"], kind=kind)
    mask = segmentation.read(path, [LIVER, SPLEEN], made.grid)
    np.testing.assert_array_equal(mask.array, np.array([0, 2, 0, 1])[number])
    assert mask.classes == ("liver", "spleen")


def test_segments_that_overlap_become_layers(scan):
    made = scan()
    layers = np.stack([drawn(made.shape, 1), drawn(made.shape, 2)], axis=-1)
    frames = layers.astype(np.uint8)
    path = made.segment(frames, ["Liver", "Spleen"])
    mask = segmentation.read(path, [LIVER, SPLEEN], made.grid)
    assert mask.overlapping
    np.testing.assert_array_equal(mask.array, np.moveaxis(layers, -1, 0))


def test_codes_choose_segments_whatever_they_are_called(scan):
    made = scan()
    array = drawn(made.shape)
    path = made.segment(array.astype(np.uint8), ["?"], types={"?": codes.SCT.Spleen})
    rule = ClassRule("organ", codes=(Code("78961009", "SCT"),))
    older = ClassRule("organ", codes=(Code("T-C3000", "SRT"),))
    for chosen in (rule, older):
        np.testing.assert_array_equal(segmentation.read(path, [chosen], made.grid).array, array)
    with pytest.raises(ImagingError) as caught:
        segmentation.read(path, [ClassRule("organ", codes=(Code("1", "SCT"),))], made.grid)
    assert caught.value.code == "mask.no_class"


def test_fractions_count_from_the_threshold_on(scan):
    made = scan()
    values = np.random.default_rng(5).random(made.shape)
    path = made.segment(values, ["Liver"], kind="FRACTIONAL", max_fractional_value=100)
    stored = np.round(values * 100)
    for threshold in (0.25, 0.5, 1.0):
        mask = segmentation.read(path, [LIVER], made.grid, threshold)
        np.testing.assert_array_equal(mask.array, stored >= threshold * 100)
    with pytest.raises(RuntimeError):
        segmentation.read(path, [LIVER], made.grid, 0.0)


def test_a_single_slice_and_a_gap_need_no_guess(scan):
    made = scan()
    one = np.zeros(made.shape, dtype=np.uint8)
    one[2:5, 3:6, 3] = 1
    mask = segmentation.read(made.segment(one, ["Liver"]), [LIVER], made.grid)
    np.testing.assert_array_equal(mask.array, one)
    assert mask.warnings == ()
    one[2:5, 3:6, 5] = 1
    mask = segmentation.read(made.segment(one, ["Liver"]), [LIVER], made.grid)
    np.testing.assert_array_equal(mask.array, one)
    assert mask.warnings == ("mask.gap",)


def test_a_grid_whose_axes_run_otherwise_has_the_same_voxels(scan):
    made = scan()
    array = drawn(made.shape)
    path = made.segment(array.astype(np.uint8), ["Liver"])
    flip = np.diag([1.0, -1, -1, 1])
    flip[:3, 3] = [0, made.shape[1] - 1, made.shape[2] - 1]
    grid = Grid(made.shape, made.grid.affine @ flip, made.frame)
    np.testing.assert_array_equal(segmentation.read(path, [LIVER], grid).array, array[:, ::-1, ::-1])


def test_another_images_mask_is_refused(scan):
    made = scan()
    path = made.segment(drawn(made.shape).astype(np.uint8), ["Liver"])
    shifted = made.grid.affine.copy()
    shifted[:3, 3] += 0.4
    cropped = (made.shape[0] - 3, *made.shape[1:])
    for grid, code in [
        (Grid(made.shape, made.grid.affine, "1.2.3"), "mask.frame_of_reference"),
        (Grid(made.shape, shifted, made.frame), "mask.geometry"),
        (Grid(made.shape, made.grid.affine @ np.diag([2.0, 1, 1, 1]), None), "mask.geometry"),
        (Grid(cropped, made.grid.affine, None), "mask.outside"),
    ]:
        with pytest.raises(ImagingError) as caught:
            segmentation.read(path, [LIVER], grid)
        assert caught.value.code == code


def test_large_and_damaged_files_are_refused_without_quoting_them(scan, monkeypatch, refusal):
    made = scan()
    path = made.segment(drawn(made.shape).astype(np.uint8), ["Liver"])
    data, copy = path.read_bytes(), made.folder / "copy.dcm"
    random = np.random.default_rng(7)
    for _ in range(40):
        altered = bytearray(data)
        for position in random.integers(0, len(altered), 6):
            altered[position] = random.integers(256)
        copy.write_bytes(altered[: random.integers(1, len(altered))] if random.random() < 0.3 else altered)
        message = refusal(lambda: segmentation.read(copy, [LIVER], made.grid))
        assert "Liver" not in message
        assert "1.2.826" not in message
    for element, value in [("NumberOfFrames", 10**9), ("Rows", 65535)]:
        dataset = dcmread(path)
        setattr(dataset, element, value)
        dataset.Columns = 65535 if element == "Rows" else dataset.Columns
        with pytest.raises(ImagingError) as caught:
            segmentation.read(made.save(dataset, "huge.dcm"), [LIVER], made.grid)
        assert caught.value.code == "segmentation.too_large"
    monkeypatch.setattr(opening, "MAX_FILE_BYTES", 1000)
    with pytest.raises(ImagingError) as caught:
        segmentation.read(path, [LIVER], made.grid)
    assert caught.value.code == "label_file.too_large"


def test_a_damaged_compressed_frame_is_a_refusal_and_not_a_crash(scan):
    made = scan()
    dataset = dcmread(
        made.segment(drawn(made.shape).astype(float), ["Liver"], kind="FRACTIONAL", transfer_syntax_uid=JPEGLSLossless)
    )
    whole = segmentation.read(made.save(dataset, "whole.dcm"), [LIVER], made.grid)
    np.testing.assert_array_equal(whole.array, drawn(made.shape))
    dataset.PixelData = dataset.PixelData.replace(b"\xff\xda", b"\xff\xd9")
    with pytest.raises(ImagingError) as caught:
        segmentation.read(made.save(dataset, "damaged.dcm"), [LIVER], made.grid)
    assert caught.value.code == "segmentation.pixels"


def test_a_mask_names_the_series_that_it_was_drawn_on(scan):
    made = scan()
    dataset = dcmread(made.segment(drawn(made.shape).astype(np.uint8), ["Liver"]))
    reference = opening.reference(dataset)
    assert (reference.patient, reference.study, reference.series) == ("P-1", made.study, {made.series})
    assert reference.instances <= {image.SOPInstanceUID for image in made.slices}
    assert made.study not in repr(reference)

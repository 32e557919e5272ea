import tracemalloc

import highdicom
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    EnhancedSRStorage,
    JPEG2000Lossless,
    MRImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    PositronEmissionTomographyImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from imaging.volumes import Rejection, decode, read, scan
from tests.imaging.series import AXIAL, CORONAL, SAGITTAL, Series, enhanced, item, write


def check_geometry(source, series):
    affine, (columns, rows, slices) = source.volume.affine, source.volume.array.shape
    for column, row, k in [(0, 0, 0), (columns - 1, 0, 0), (0, rows - 1, 0), (0, 0, slices - 1), (3, 2, 1)]:
        np.testing.assert_allclose((affine @ [column, row, k, 1])[:3], series.world(column, row, k), atol=1e-5)


def codes(reading):
    return [one.rejection for one in reading.rejected]


@pytest.fixture
def one(tmp_path):
    def one(datasets):
        reading = read(write(tmp_path, datasets))
        assert codes(reading) == []
        (source,) = reading.volumes
        return source

    return one


@pytest.fixture
def rejected(tmp_path):
    def rejected(datasets):
        reading = read(write(tmp_path, datasets))
        assert not reading.volumes
        assert len(reading.rejected) == len(datasets)
        return set(codes(reading))

    return rejected


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


@settings(max_examples=25, deadline=None)
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


def test_each_slice_has_its_own_slope(one):
    series = Series()
    files = series.files()
    for k, file in enumerate(files):
        file.RescaleSlope, file.RescaleIntercept = 1 + k / 4, -10 * k
    source = one(files)
    expected = np.stack([series.stored[k] * (1 + k / 4) - 10 * k for k in range(6)]).transpose(2, 1, 0)
    np.testing.assert_allclose(source.volume.array, expected, rtol=1e-6)
    assert (source.volume.array.dtype, source.volume.manifest.rescale) == (np.float32, "linear by slice")


def test_an_enhanced_image_is_the_series_it_was_made_of(one):
    series = Series()
    source = one([enhanced(series.files())])
    np.testing.assert_array_equal(source.volume.array, series.truth())
    check_geometry(source, series)
    assert sorted(position.frame for position in source.positions) == [1, 2, 3, 4, 5, 6]


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


def test_a_tilted_enhanced_image_is_named(rejected):
    assert rejected([enhanced(list(tilted(Series(), 15)))]) == {Rejection.TILT}


def test_hounsfield_units_are_never_inverted(one):
    series = Series()
    source = one(series.files(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"))
    np.testing.assert_array_equal(source.volume.array, series.truth())


def test_windows_and_real_world_maps_are_not_applied(one):
    series = Series()
    world_map = item(RealWorldValueFirstValueMapped=0, RealWorldValueLastValueMapped=4095, RealWorldValueSlope=9.0)
    attributes = {"WindowCenter": 40, "WindowWidth": 80, "RealWorldValueMappingSequence": world_map}
    np.testing.assert_array_equal(one(series.files(**attributes)).volume.array, series.truth())


def test_series_in_one_folder_stay_apart(tmp_path):
    first, second = Series(), Series(orientation=CORONAL, slices=4)
    mixed = [file for pair in zip(first.files(), [*second.files(), *second.files()[:2]], strict=True) for file in pair]
    reading = read(write(tmp_path, mixed[:8]))
    assert {source.volume.array.shape for source in reading.volumes} == {(12, 10, 4)}
    assert [source.series for source in reading.volumes] == [first.series, second.series]


@pytest.mark.parametrize(
    "change", [{"Rows": 12, "Columns": 10}, {"PixelSpacing": [1, 1]}, {"FrameOfReferenceUID": "1.2.3"}]
)
def test_planes_of_another_grid_are_another_volume(tmp_path, change):
    series = Series()
    other = series.files(**change)
    reading = read(write(tmp_path, [*series.files(), *other]))
    assert [len(source.instances) for source in reading.volumes] == [6, 6]


def test_localizers_and_screens_are_named_and_the_rest_is_read(tmp_path):
    series = Series()
    odd = [
        series.file(0, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        series.file(0, ImageType=["DERIVED", "SECONDARY", "MPR"]),
        series.file(0, ImageType=["DERIVED", "PRIMARY", "SCREEN SAVE"]),
        series.file(0, SOPClassUID=SecondaryCaptureImageStorage),
        series.file(0, SOPClassUID=MultiFrameGrayscaleByteSecondaryCaptureImageStorage),
        series.file(0, SOPClassUID=EnhancedSRStorage),
        series.file(0, BurnedInAnnotation="YES"),
    ]
    reading = read(write(tmp_path, [*odd, *series.files()]))
    assert codes(reading) == [
        Rejection.LOCALIZER,
        Rejection.DERIVED,
        Rejection.SCREEN_SAVE,
        Rejection.SCREEN_SAVE,
        Rejection.SCREEN_SAVE,
        Rejection.CLASS,
        Rejection.BURNED_IN,
    ]
    np.testing.assert_array_equal(reading.volumes[0].volume.array, series.truth())


def test_copies_are_named_and_contradictions_reject_all_of_them(tmp_path):
    series = Series()
    files = series.files()
    (tmp_path / "copies").mkdir()
    reading = read(write(tmp_path / "copies", [*files, files[2]]))
    assert codes(reading) == [Rejection.DUPLICATE]
    assert len(reading.volumes) == 1
    twin = series.file(2, SOPInstanceUID=files[2].SOPInstanceUID, SeriesDescription="another")
    (tmp_path / "twins").mkdir()
    reading = read(write(tmp_path / "twins", [*files, twin]))
    assert not reading.volumes
    assert sorted(codes(reading)) == sorted([Rejection.CONFLICT] * 2 + [Rejection.MISSING_SLICE] * 5)


def test_a_series_of_two_patients_is_named(rejected):
    files = Series().files()
    files[3].PatientID = "P-2"
    assert rejected(files) == {Rejection.MIXED_PATIENTS}


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("DiffusionBValue", [0.0, 500.0, 1000.0]),
        ("TemporalPositionIdentifier", [1, 2, 3]),
        ("TriggerTime", [0.0, 110.5, 221.0]),
        ("EchoNumbers", [1, 2]),
        ("AcquisitionNumber", [1, 2]),
        ("ImageType", [["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]]),
    ],
)
def test_a_series_of_four_dimensions_comes_apart(tmp_path, keyword, values):
    series = Series(sop_class=MRImageStorage, modality="MR", intercept=0)
    files = []
    for number, value in enumerate(values):
        part = series.files(**{keyword: value})
        for file in part:
            file.RescaleIntercept = 1000 * number
        files += part
    reading = read(write(tmp_path, files))
    assert codes(reading) == []
    assert len(reading.volumes) == len(values)
    for number, source in enumerate(reading.volumes):
        np.testing.assert_array_equal(source.volume.array, series.truth() + 1000 * number)
        check_geometry(source, series)
    assert len({source.volume.manifest.part for source in reading.volumes}) == len(values)
    assert len({source.volume.manifest.source_digest for source in reading.volumes}) == len(values)


def test_directions_and_b_values_are_taken_together(tmp_path):
    series = Series(sop_class=MRImageStorage, modality="MR")
    kinds = [(0.0, [0, 0, 0]), (500.0, [1, 0, 0]), (500.0, [0, 1, 0]), (1000.0, [1, 0, 0]), (1000.0, [0, 1, 0])]
    files = [f for b, way in kinds for f in series.files(DiffusionBValue=b, DiffusionGradientOrientation=way)]
    reading = read(write(tmp_path, files))
    assert [dict(source.volume.manifest.part)["b_value"] for source in reading.volumes] == [
        "0.0", "500.0", "500.0", "1000.0", "1000.0",
    ]  # fmt: skip


def test_what_cannot_be_told_apart_is_named(rejected):
    series = Series()
    assert rejected([*series.files(), *series.files()]) == {Rejection.AMBIGUOUS}


def test_an_interrupted_last_phase_is_named_and_the_whole_ones_are_read(tmp_path):
    series = Series(sop_class=MRImageStorage, modality="MR")
    files = [file for phase in (1, 2, 3) for file in series.files(TemporalPositionIdentifier=phase)][:-2]
    reading = read(write(tmp_path, files))
    assert len(reading.volumes) == 2
    assert codes(reading) == [Rejection.MISSING_SLICE] * 4


def test_phases_within_one_enhanced_image_come_apart(tmp_path):
    series = Series()
    multi = enhanced([file for phase in (1, 2) for file in series.files(AcquisitionNumber=phase)])
    groups = multi.PerFrameFunctionalGroupsSequence
    groups = sorted(groups, key=lambda group: tuple(group.PlanePositionSequence[0].ImagePositionPatient))
    for number, group in enumerate(groups):
        group.FrameContentSequence[0].TemporalPositionIndex = 1 + number % 2
    reading = read(write(tmp_path, [multi]))
    assert len(reading.volumes) == 2
    for source in reading.volumes:
        np.testing.assert_array_equal(source.volume.array, series.truth())


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


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ImagePositionPatient": None}, Rejection.NO_GEOMETRY),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, Rejection.NO_GEOMETRY),
        ({"PixelSpacing": [0, 1]}, Rejection.NO_GEOMETRY),
        ({"FrameOfReferenceUID": None}, Rejection.NO_GEOMETRY),
        ({"PatientID": None}, Rejection.NO_PATIENT),
        ({"SeriesInstanceUID": None}, Rejection.NO_INSTANCE),
        ({"PixelData": None}, Rejection.NO_PIXELS),
        ({"PixelData": bytes(100)}, Rejection.TRUNCATED),
        ({"NumberOfFrames": 2}, Rejection.MULTI_FRAME),
        ({"Rows": 60000, "Columns": 60000}, Rejection.TOO_LARGE),
        ({"RescaleSlope": 0}, Rejection.MALFORMED),
        ({"RescaleSlope": None}, Rejection.NO_RESCALE),
        ({"RescaleIntercept": None}, Rejection.NO_RESCALE),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, Rejection.COLOUR),
    ],
)
def test_slices_that_cannot_be_used_are_named(rejected, attributes, expected):
    assert rejected(Series().files(**attributes)) == {expected}


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


def test_a_scan_keeps_headers_and_not_the_files(tmp_path):
    series = Series(slices=40, rows=256, columns=256)
    paths = write(tmp_path, series.files())
    del series
    tracemalloc.start()
    found = scan(paths)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.stacks[0].files) == 40
    assert kept < 40 * 50_000 < 40 * 256 * 256


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

import random
import warnings

import numpy as np
import pytest
from pydicom import Dataset, Sequence
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)

from imaging.volumes import headers, radiograph, read
from imaging.volumes import rejection as limits
from imaging.volumes.rejection import ImageRejected, Rejection

RAMP = np.arange(16 * 12, dtype=np.uint16).reshape(16, 12)


@pytest.fixture
def load(tmp_path, encoded):
    def load(dataset_or_bytes):
        data = dataset_or_bytes if isinstance(dataset_or_bytes, bytes) else encoded(dataset_or_bytes)
        path = tmp_path / "file"
        path.write_bytes(data)
        return radiograph.decode(radiograph.read(path))

    return load


@pytest.fixture
def rejection(load):
    def rejection(dataset_or_bytes):
        with pytest.raises(ImageRejected) as caught:
            load(dataset_or_bytes)
        assert caught.value.code == caught.value.rejection.value
        return caught.value.rejection

    return rejection


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, None])
def test_pixels_come_back_as_stored(load, make_dicom, syntax):
    image = load(make_dicom(RAMP) if syntax is None else make_dicom(RAMP, syntax))
    np.testing.assert_array_equal(image.pixels, RAMP)
    assert image.pixels.dtype == np.uint16
    assert not image.pixels.flags.writeable
    assert (image.header.patient, image.header.modality) == ("P-1", "CR")


def test_big_endian_bytes_and_run_lengths_are_decoded(load, make_dicom):
    dataset = make_dicom(RAMP, ExplicitVRBigEndian)
    dataset.PixelData = RAMP.byteswap().tobytes()
    np.testing.assert_array_equal(load(dataset).pixels, RAMP)
    dataset = make_dicom(RAMP)
    dataset.compress(RLELossless, generate_instance_uid=False)
    np.testing.assert_array_equal(load(dataset).pixels, RAMP)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("mark", [{"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"}])
def test_inverted_images_become_brighter_where_the_value_is_larger(load, make_dicom, dtype, mark):
    stored = RAMP.astype(dtype)
    stored[0, 0], stored[-1, -1] = np.iinfo(dtype).min, np.iinfo(dtype).max
    normal, inverted = load(make_dicom(stored)).pixels, load(make_dicom(stored, **mark)).pixels
    limits = np.iinfo(dtype)
    np.testing.assert_array_equal(inverted.astype(int), limits.min + limits.max - normal.astype(int))
    both = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
    np.testing.assert_array_equal(load(make_dicom(stored, **both)).pixels, inverted)


def test_rescale_is_applied_after_inversion_and_signs_are_kept(load, make_dicom):
    signed = RAMP.astype(np.int16) - 100
    image = load(make_dicom(signed, RescaleSlope="2.5", RescaleIntercept="-10"))
    np.testing.assert_allclose(image.pixels, signed * 2.5 - 10)
    assert image.pixels.dtype == np.float32
    image = load(make_dicom(RAMP, RescaleSlope="2", RescaleIntercept="1", PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_allclose(image.pixels, (65535.0 - RAMP) * 2 + 1)


def test_a_modality_table_is_looked_up(load, make_dicom):
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4, 0, 16], np.array([10, 20, 40, 80], "<u2").tobytes()
    table.ModalityLUTType = "OD"
    stored = (RAMP % 4).astype(np.uint16)
    image = load(make_dicom(stored, ModalityLUTSequence=Sequence([table])))
    np.testing.assert_allclose(image.pixels, np.array([10, 20, 40, 80])[stored])


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_bits_beyond_those_stored_are_cleared(load, make_dicom, dtype):
    values = (RAMP.astype(dtype) - (100 if dtype is np.int16 else 0)).astype(dtype)
    hidden = (values.view(np.uint16) & 0x0FFF) | 0xA000  # an overlay of old files hides in the top bits
    image = load(make_dicom(hidden.view(dtype), BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(image.pixels.astype(int), values.astype(int))


MG = {"SOPClassUID": DigitalMammographyXRayImageStorageForPresentation, "Modality": "MG"}
DX = {"SOPClassUID": DigitalXRayImageStorageForProcessing, "Modality": "DX"}
US = {"SOPClassUID": UltrasoundImageStorage, "Modality": "US", "BurnedInAnnotation": "NO"}


@pytest.mark.parametrize("kind", [MG, DX, {}])
def test_every_kind_of_projection_is_turned_and_says_so(tmp_path, make_dicom, encoded, kind):
    paths = []
    for name, mark in {"plain": {}, "turned": {"PhotometricInterpretation": "MONOCHROME1"}}.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(encoded(make_dicom(RAMP, **kind, **mark, ImagerPixelSpacing=[0.1, 0.2])))
    plain, turned = (source.volume for source in read(paths).volumes)
    np.testing.assert_array_equal(turned.array, 65535 - plain.array)
    assert (plain.manifest.photometric, turned.manifest.photometric) == ("as stored", "inverted")
    assert (plain.manifest.spacing, plain.manifest.spacing_source) == ((0.1, 0.2), "detector")
    assert (plain.affine, plain.manifest.orientation) == (None, None)
    assert plain.manifest.modality == kind.get("Modality", "CR")
    for secret in ("P-1", "Doe", "1970"):
        assert secret not in plain.manifest.canonical().decode()


def palette_us(make_dicom):
    table = np.arange(256, dtype=np.uint16) * 257
    tables = {f"{name}PaletteColorLookupTableData": values.astype("<u2").tobytes() for name, values in {
        "Red": table, "Green": table[::-1], "Blue": table * 0}.items()}  # fmt: skip
    described = {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in ("Red", "Green", "Blue")}
    pixels = RAMP.astype(np.uint8)
    image = make_dicom(pixels, **US, PhotometricInterpretation="PALETTE COLOR", **tables, **described)
    return image, 0.299 * table[pixels] + 0.587 * table[::-1][pixels]


def rgb_us(make_dicom):
    pixels = np.random.default_rng(1).integers(0, 256, (16, 12, 3), dtype=np.uint8)
    colours = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    return make_dicom(pixels, **US, **colours), pixels @ [0.299, 0.587, 0.114]


@pytest.mark.parametrize("made", [palette_us, rgb_us])
def test_coloured_ultrasound_is_refused_unless_its_luminance_is_wanted(tmp_path, make_dicom, encoded, made):
    dataset, expected = made(make_dicom)
    (tmp_path / "us").write_bytes(encoded(dataset))
    assert [one.rejection for one in read([tmp_path / "us"]).rejected] == [Rejection.COLOUR]
    (source,) = read([tmp_path / "us"], colour="luminance").volumes
    np.testing.assert_allclose(source.volume.array, expected, rtol=1e-6)
    assert source.volume.manifest.photometric == "luminance"


def test_grey_ultrasound_is_read_and_moving_ultrasound_is_named(load, rejection, make_dicom):
    np.testing.assert_array_equal(load(make_dicom(RAMP, **US)).pixels, RAMP)
    assert rejection(make_dicom(RAMP, **US, NumberOfFrames=3)) == Rejection.MULTI_FRAME


def test_a_compressed_radiograph_is_decoded_and_remembers_its_loss(tmp_path, make_dicom, encoded):
    dataset = make_dicom(np.tile(RAMP, (4, 4)))
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    dataset.LossyImageCompression = "01"
    (tmp_path / "x").write_bytes(encoded(dataset))
    (source,) = read([tmp_path / "x"]).volumes
    np.testing.assert_array_equal(source.volume.array, np.tile(RAMP, (4, 4)))
    assert source.volume.manifest.lossy
    assert source.volume.manifest.decoders[0].startswith("pylibjpeg-openjpeg ")


SC = {"SOPClassUID": SecondaryCaptureImageStorage}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"PatientID": None}, Rejection.NO_PATIENT),
        ({"PatientID": "  "}, Rejection.NO_PATIENT),
        ({"SOPInstanceUID": None}, Rejection.NO_INSTANCE),
        ({"PixelData": None}, Rejection.NO_PIXELS),
        ({"Modality": "CT"}, Rejection.KIND),
        ({"Modality": None}, Rejection.KIND),
        ({"SOPClassUID": CTImageStorage}, Rejection.KIND),
        (SC, Rejection.BURNED_IN),
        (US | {"BurnedInAnnotation": ""}, Rejection.BURNED_IN),
        (SC | {"BurnedInAnnotation": "YES"}, Rejection.BURNED_IN),
        ({"BurnedInAnnotation": "YES"}, Rejection.BURNED_IN),
        ({"NumberOfFrames": 2}, Rejection.MULTI_FRAME),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, Rejection.COLOUR),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, Rejection.COLOUR),
        ({"Rows": 65535, "Columns": 65535}, Rejection.TOO_LARGE),
        ({"Rows": 17}, Rejection.TRUNCATED),
        ({"Rows": 4}, Rejection.TOO_SMALL),
        ({"Rows": None}, Rejection.MALFORMED),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, Rejection.PIXEL_FORMAT),
        ({"BitsStored": 12}, Rejection.PIXEL_FORMAT),
        ({"pixels": np.full((16, 12), 7, dtype=np.uint16)}, Rejection.CONSTANT),
        ({"RescaleSlope": "1e39"}, Rejection.MALFORMED),
    ],
)
def test_what_is_not_a_usable_radiograph_is_named(rejection, make_dicom, attributes, expected):
    assert rejection(make_dicom(**attributes)) == expected


def test_other_codecs_are_named_as_unsupported(rejection, make_dicom):
    assert rejection(make_dicom(syntax=MPEG2MPML, PixelData=encapsulate([b"codestream"]))) == Rejection.SYNTAX


def test_a_secondary_capture_that_says_it_is_clean_is_read(load, make_dicom):
    assert load(make_dicom(**SC, BurnedInAnnotation="NO")).pixels.shape == (16, 12)


def test_files_that_are_not_dicom_are_named(rejection):
    assert rejection(b"") == Rejection.NOT_DICOM
    assert rejection(b"\x89PNG" + bytes(1000)) == Rejection.NOT_DICOM
    assert rejection(bytes(128) + b"DICM") == Rejection.NOT_DICOM


def test_unreadable_and_huge_files_are_named(tmp_path, monkeypatch, make_dicom, encoded):
    with pytest.raises(ImageRejected) as caught:
        radiograph.read(tmp_path)
    assert caught.value.rejection == Rejection.UNREADABLE
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 500)
    (tmp_path / "large").write_bytes(encoded(make_dicom()))
    with pytest.raises(ImageRejected) as caught:
        radiograph.read(tmp_path / "large")
    assert caught.value.rejection == Rejection.TOO_LARGE


def test_a_deflated_file_is_refused_before_it_is_inflated(rejection, make_dicom, encoded, monkeypatch):
    data = encoded(make_dicom(syntax=DeflatedExplicitVRLittleEndian))
    monkeypatch.setattr(headers, "dcmread", lambda _: pytest.fail("it was inflated"))
    assert rejection(data) == Rejection.SYNTAX


def test_a_decompression_bomb_is_refused(rejection, make_dicom):
    dataset = make_dicom(RAMP)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.PixelData += bytes(100_000)
    assert rejection(dataset) == Rejection.MALFORMED


def test_a_file_cut_anywhere_is_rejected(rejection, make_dicom, encoded):
    data = encoded(make_dicom())
    found = {rejection(data[:length]) for length in range(0, len(data), 3)}
    assert Rejection.TRUNCATED in found
    assert rejection(data[:-1]) == Rejection.TRUNCATED
    assert found <= {
        Rejection.NOT_DICOM, Rejection.TRUNCATED, Rejection.MALFORMED, Rejection.NO_PIXELS, Rejection.SYNTAX,
    }  # fmt: skip


def test_damaged_files_are_read_or_rejected_without_a_word_of_their_content(load, make_dicom, encoded, capfd, caplog):
    data = encoded(make_dicom(PatientName="CANARY^NAME", PatientID="CANARY-ID", RescaleSlope="1"))
    source = random.Random(4)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for _ in range(1000):
            damaged = bytearray(data)
            for _ in range(source.choice([1, 2, 8])):
                damaged[source.randrange(128, len(data) - 300)] = source.randrange(256)
            try:
                shown = repr(load(bytes(damaged)))
            except ImageRejected as error:
                shown = f"{error} {error.__cause__}"
            assert "CANARY" not in shown
    out, err = capfd.readouterr()
    assert "CANARY" not in out + err + caplog.text + "".join(str(warning.message) for warning in warned)

import json
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset, Sequence, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames
from pydicom.tag import Tag
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    EncapsulatedPDFStorage,
    MediaStorageDirectoryStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)

from imaging.deidentification import BASIC, clean_dataset
from imaging.deidentification.pixels import policy, regions, stored, text_search
from imaging.deidentification.pixels.policy import Verdict
from imaging.deidentification.profile import PixelPolicy
from imaging.deidentification.rejection import Quarantine, Quarantined
from imaging.deidentification.words import PatientWords
from imaging.errors import ImagingError

needs_tesseract = pytest.mark.skipif(not shutil.which("tesseract"), reason="tesseract is not installed")


def judged(dataset, profile):
    return policy.judge(dataset, profile, policy.sop_classes(profile))


def code(dataset, profile):
    with pytest.raises(Quarantined) as caught:
        judged(dataset, profile)
    return caught.value.quarantine


def copied(dataset, profile, names, verdict=None):
    cleaned, _ = clean_dataset(dataset, profile, names)
    done = stored.copy(dataset, cleaned, verdict or judged(dataset, profile), profile, PatientWords(dataset))
    return cleaned, done


def region(x0, y0, x1, y1):
    item = Dataset()
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1, y1
    return item


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"SOPClassUID": SecondaryCaptureImageStorage}, Quarantine.SOP_CLASS),
        ({"SOPClassUID": "1.2.3"}, Quarantine.SOP_CLASS),
        ({"SOPClassUID": EncapsulatedPDFStorage, "EncapsulatedDocument": b"%PDF"}, Quarantine.DOCUMENT),
        ({"EncapsulatedDocument": b"%PDF"}, Quarantine.DOCUMENT),
        ({"SOPClassUID": MediaStorageDirectoryStorage}, Quarantine.MEDIA_DIRECTORY),
        ({"BurnedInAnnotation": "YES"}, Quarantine.BURNED_IN),
        ({"BurnedInAnnotation": "MAYBE"}, Quarantine.BURNED_IN),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, Quarantine.SCREEN),
        ({"SeriesDescription": "Dose Report"}, Quarantine.SCREEN),
        ({"SOPClassUID": UltrasoundImageStorage, "Modality": "US"}, Quarantine.ULTRASOUND),
        ({"Modality": "US"}, Quarantine.ULTRASOUND),
    ],
)
def test_what_may_show_a_patient_is_put_aside(make_dicom, attributes, expected):
    assert code(make_dicom(**attributes), BASIC) == expected


def test_a_class_beyond_the_list_must_be_allowed_and_deny_burned_in_text(make_dicom, profile_with):
    allowing = profile_with(pixels=PixelPolicy(sop_classes=("SecondaryCaptureImageStorage",)))
    capture = make_dicom(SOPClassUID=SecondaryCaptureImageStorage)
    assert code(capture, allowing) == Quarantine.BURNED_IN
    capture.BurnedInAnnotation = "NO"
    assert judged(capture, allowing) == Verdict()
    with pytest.raises(ImagingError):
        policy.sop_classes(profile_with(pixels=PixelPolicy(sop_classes=("ExplicitVRLittleEndian",))))


def test_ultrasound_is_blanked_outside_its_regions(make_dicom, profile_with, names):
    pixels = np.full((20, 30), 200, np.uint8)
    pixels[0, 0] = 7
    dataset = make_dicom(pixels, SOPClassUID=UltrasoundImageStorage, Modality="US")
    dataset.SequenceOfUltrasoundRegions = Sequence([region(5, 6, 24, 15)])
    cleaned, done = copied(dataset, profile_with("clean_pixels"), names)
    expected = np.full((20, 30), 7, np.uint8)
    expected[6:16, 5:25] = 200
    assert np.array_equal(cleaned.pixel_array, expected)
    assert done["pixels_blanked"] == 1
    assert cleaned.BurnedInAnnotation == "NO"
    assert "113101" in [item.CodeValue for item in cleaned.DeidentificationMethodCodeSequence]
    assert code(dataset, BASIC) == Quarantine.ULTRASOUND, "pixels may not change without the option"


def test_a_known_device_has_its_boxes(make_dicom, profile_with, names):
    dataset = make_dicom(
        np.full((600, 800), 99, np.uint8),
        Modality="US",
        SOPClassUID=UltrasoundImageStorage,
        Manufacturer="Zonare Medical",
        ManufacturerModelName="Z_ONE",
    )
    assert regions.of_device(dataset) == ((0, 0, 800, 65),)
    dataset.PixelData = bytes(1) + dataset.PixelData[1:]
    cleaned, _ = copied(dataset, profile_with("clean_pixels"), names)
    assert not cleaned.pixel_array[:65].any()
    assert (cleaned.pixel_array[65:] == 99).all()
    dataset.Rows = 601
    assert regions.of_device(dataset) == ()


def test_device_rules_name_known_attributes_and_make_boxes():
    rules = regions.device_rules()
    assert len(rules) > 90
    for rule in rules:
        tests = [test for tests in rule["where"] for test in tests]
        assert {test for test, _, _ in tests} <= {"contains", "equals", "missing", "empty"}
        assert all(len(test) == 3 for tests in rule["where"] for test in tests)
        assert all(x0 < x1 and y0 < y1 for x0, y0, x1, y1 in rule["boxes"])
    assert "Susan" not in json.dumps(rules)


def test_pixels_that_need_no_change_stay_byte_for_byte(make_dicom, names):
    dataset = make_dicom()
    cleaned, done = copied(dataset, BASIC, names)
    assert cleaned.PixelData == dataset.PixelData
    assert +done == Counter()
    assert "BurnedInAnnotation" not in cleaned


def test_pixels_that_nothing_was_done_to_are_not_marked_as_clean(make_dicom, profile_with, names):
    cleaned, _ = copied(make_dicom(), profile_with("clean_pixels"), names)
    assert "BurnedInAnnotation" not in cleaned
    assert "113101" not in [item.CodeValue for item in cleaned.DeidentificationMethodCodeSequence]


@pytest.mark.parametrize("signed", [False, True])
def test_what_hides_in_unused_bits_goes(make_dicom, names, signed):
    values = np.arange(16 * 12, dtype=np.uint16).reshape(16, 12) - (100 if signed else 0)
    hidden = (values & 0x0FFF) | 0x8000
    dataset = make_dicom(hidden.astype(np.uint16))
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, int(signed)
    cleaned, done = copied(dataset, BASIC, names)
    shown = values.astype(np.int16) if signed else values & 0x0FFF
    assert np.array_equal(cleaned.pixel_array, shown)
    assert done["unused_bits_cleared"] == 1
    stored_values = np.frombuffer(cleaned.PixelData, np.uint16)
    assert np.array_equal(stored_values, shown.ravel().view(np.uint16) if signed else shown.ravel())


def test_what_hides_after_the_last_frame_goes(make_dicom, names):
    dataset = make_dicom()
    before = dataset.PixelData
    dataset.PixelData = before + b"Jane Doe"
    assert copied(dataset, BASIC, names)[0].PixelData == before
    dataset.PixelData = before[:-2]
    with pytest.raises(Quarantined) as caught:
        copied(dataset, BASIC, names)
    assert caught.value.quarantine == Quarantine.UNDECODABLE


@pytest.mark.parametrize("file", ["JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm"])
def test_comments_in_compressed_streams_go_and_the_image_stays(file, names):
    dataset = dcmread(get_testdata_file(file))
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    marker = b"\xff\x64\x00\x0c\x00\x01Jane Doe" if file == "JPEG2000.dcm" else b"\xff\xfe\x00\x0aJane Doe"
    at = 4 + int.from_bytes(frame[4:6], "big") if file == "JPEG2000.dcm" else 2
    planted = frame[:at] + marker + frame[at:]
    cleared = stored._without_comments(planted)
    assert b"Jane" in planted
    assert b"Jane" not in cleared
    assert len(cleared) == len(planted)
    again = dcmread(get_testdata_file(file))
    again.PixelData = stored.encapsulate([planted])
    cleaned, done = copied(again, BASIC, names, Verdict(search=False))
    assert done["comments_cleared"] == 1
    assert b"Jane" not in cleaned.PixelData
    assert np.array_equal(cleaned.pixel_array, dataset.pixel_array)


@pytest.mark.parametrize(
    "file", ["JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm", "MR_small_RLE.dcm", "examples_ybr_color.dcm"]
)
def test_compressed_pixels_that_change_are_written_uncompressed(file, names, tmp_path):
    dataset = dcmread(get_testdata_file(file))
    cleaned, _ = copied(dataset, BASIC, names, Verdict(hide=((0, 0, 8, 4),), search=False))
    cleaned.save_as(tmp_path / "x", enforce_file_format=True)
    again = dcmread(tmp_path / "x")
    assert not again.file_meta.TransferSyntaxUID.is_compressed
    before, after = dataset.pixel_array, again.pixel_array
    rows = (slice(None), slice(4, None)) if int(dataset.get("NumberOfFrames") or 1) > 1 else (slice(4, None),)
    assert np.array_equal(before[rows], after[rows])
    assert len(np.unique(after[..., :4, :8, :] if after.ndim == 4 else after[:4, :8])) == 1


def test_pixels_that_cannot_be_decoded_are_put_aside_only_if_they_must_change(make_dicom, names):
    dataset = make_dicom(np.zeros((10, 10), np.uint8))
    dataset.BitsAllocated = 12
    with pytest.raises(Quarantined):
        copied(dataset, BASIC, names, Verdict(hide=((0, 0, 1, 1),)))


def with_text(make_dicom, text="Doe, Jane", **attributes):
    picture = Image.fromarray(np.random.default_rng(1).normal(80, 3, (96, 256)).astype(np.uint8))
    ImageDraw.Draw(picture).text((12, 10), text, fill=255, font=ImageFont.load_default(20))
    return make_dicom(np.asarray(picture), SOPClassUID=ComputedRadiographyImageStorage, **attributes)


@needs_tesseract
def test_text_of_the_patients_header_is_blanked_or_put_aside(make_dicom, profile_with, names):
    dataset = with_text(make_dicom)
    blanking = profile_with("clean_pixels", pixels=PixelPolicy(text_search="blank", text_seconds=30))
    cleaned, done = copied(dataset, blanking, names)
    assert done["pixels_blanked"] == 1
    assert np.ptp(cleaned.pixel_array[14:32, 14:100]) == 0
    assert np.array_equal(cleaned.pixel_array[50:], dataset.pixel_array[50:])
    setting_aside = profile_with("clean_pixels", pixels=PixelPolicy(text_search="quarantine", text_seconds=30))
    with pytest.raises(Quarantined) as caught:
        copied(dataset, setting_aside, names)
    assert caught.value.quarantine == Quarantine.TEXT


@needs_tesseract
def test_other_text_stays_unless_the_file_admits_burned_in_text(make_dicom, profile_with, names):
    pixels = PixelPolicy(text_search="blank", burned_in="blank", text_seconds=30)
    dataset = with_text(make_dicom, "PORTABLE")
    assert copied(dataset, profile_with("clean_pixels", pixels=pixels), names)[0].PixelData == dataset.PixelData
    dataset.BurnedInAnnotation = "YES"
    cleaned, _ = copied(dataset, profile_with("clean_pixels", pixels=pixels), names)
    assert np.ptp(cleaned.pixel_array[14:32, 14:100]) == 0


def test_a_search_that_fails_is_no_clean_image(make_dicom, profile_with, names, monkeypatch, tmp_path):
    slow = tmp_path / "tesseract"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    profile = profile_with("clean_pixels", pixels=PixelPolicy(text_search="blank", text_seconds=1))
    for script in ("#!/bin/sh\nexec sleep 9\n", "#!/bin/sh\nexit 1\n", "#!/bin/sh\necho nonsense\n"):
        slow.write_text(script)
        slow.chmod(0o700)
        with pytest.raises(Quarantined) as caught:
            copied(with_text(make_dicom), profile, names)
        assert caught.value.quarantine == Quarantine.OCR
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(ImagingError) as absent:
        text_search.program()
    assert absent.value.code == "pixels.no_tesseract"


def test_float_pixels_are_copied(make_dicom, names):
    dataset = make_dicom(PixelData=None, SOPClassUID=CTImageStorage)
    dataset.FloatPixelData = np.zeros((16, 12), np.float32).tobytes()
    cleaned, _ = copied(dataset, BASIC, names)
    assert cleaned[Tag("FloatPixelData")] == dataset[Tag("FloatPixelData")]

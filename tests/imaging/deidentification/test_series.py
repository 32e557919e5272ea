import numpy as np
import pytest

from imaging.deidentification import CleanSeries, Option, Pseudonyms, clean
from imaging.deidentification.profile import PixelPolicy, Profile
from imaging.deidentification.rejection import Quarantined
from imaging.deidentification.series import BLANKED, FACE
from imaging.volumes.reading import read
from tests.imaging.series import Series, item, write

KEY = bytes(range(32))
NAMES = Pseudonyms(KEY)


def volume(folder, datasets):
    (found,) = read(write(folder, datasets)).volumes
    return found


def test_a_volume_comes_out_under_pseudonyms_alone(tmp_path):
    made = Series()
    source = volume(tmp_path, made.files())
    cleaned = clean(source, NAMES)
    assert isinstance(cleaned, CleanSeries)
    assert cleaned.patient == NAMES.patient("P-1")
    assert (cleaned.study, cleaned.series) == (NAMES.uid(made.study), NAMES.uid(made.series))
    assert cleaned.volume is source.volume
    said = repr(cleaned) + cleaned.volume.manifest.canonical().decode()
    assert not any(secret in said for secret in ("P-1", "Doe", made.study, made.series, "1970", "2024"))


def test_one_doubtful_file_keeps_the_whole_volume_back(tmp_path):
    files = Series().files()
    files[3].SeriesDescription = "Dose Report"
    with pytest.raises(Quarantined) as caught:
        clean(volume(tmp_path, files), NAMES)
    assert caught.value.code == "pixels.screen_save"


def test_a_profile_may_allow_fewer_classes(tmp_path):
    profile = Profile(pixels=PixelPolicy(sop_classes=("MRImageStorage",)))
    with pytest.raises(Quarantined) as caught:
        clean(volume(tmp_path, Series().files()), NAMES, profile)
    assert caught.value.code == "pixels.sop_class"


def test_a_head_is_said_to_show_a_face_or_is_kept_back(tmp_path):
    source = volume(tmp_path, Series().files(BodyPartExamined="HEAD"))
    assert clean(source, NAMES).warnings == (FACE,)
    with pytest.raises(Quarantined) as caught:
        clean(source, NAMES, Profile(pixels=PixelPolicy(faces="quarantine")))
    assert caught.value.code == "pixels.face"


def test_only_the_regions_of_an_ultrasound_are_kept(tmp_path, make_dicom):
    pixels = np.random.default_rng(1).integers(1, 255, (16, 12), dtype=np.uint8)
    region = item(RegionLocationMinX0=2, RegionLocationMinY0=3, RegionLocationMaxX1=8, RegionLocationMaxY1=12)
    picture = make_dicom(
        pixels,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1",
        Modality="US",
        SequenceOfUltrasoundRegions=region,
        BurnedInAnnotation="NO",
    )
    cleaned = clean(volume(tmp_path, [picture]), NAMES, Profile(options=frozenset({Option.CLEAN_PIXELS})))
    array = cleaned.volume.array
    assert cleaned.warnings == (BLANKED,)
    np.testing.assert_array_equal(array[3:13, 2:9], pixels[3:13, 2:9])
    outside = np.ones_like(array, bool)
    outside[3:13, 2:9] = False
    assert (array[outside] == pixels.min()).all()

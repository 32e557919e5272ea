import io

import pytest
from pydicom import DataElement, Dataset, Sequence, dcmread
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.uid import CTImageStorage

from imaging.deidentification import BASIC, Option, Pseudonyms, clean_dataset, edition, table
from imaging.volumes.rejection import ImageRejected, Rejection

KEY = bytes(range(32))
NUMBERS = {"FD", "FL", "SL", "SS", "SV", "UL", "US", "UV", "AT"}
MAX_LENGTH = {"AE": 16, "CS": 16, "SH": 16, "AS": 4, "DA": 8, "TM": 14, "DT": 26, "DS": 16, "IS": 12}


class Canaries:
    """Unique values by representation; remembers each as bytes that must not be found later."""

    def __init__(self):
        self.bytes = set()

    def value(self, vr):
        number = len(self.bytes) + 1
        if vr == "UI":
            text = f"1.2.3.4.{770000 + number}"
        elif vr == "DA":
            text = f"{1801 + number // 300:04d}{1 + number // 28 % 11:02d}{1 + number % 28:02d}"
        elif vr == "DT":
            text = f"18{number % 99:02d}0203{number % 24:02d}0405.{number:06d}"
        elif vr == "TM":
            text = f"112233.{number:06d}"
        elif vr == "AS":
            text = f"{number % 1000:03d}D"
        elif vr in ("DS", "IS"):
            text = str(7_700_000 + number)
        else:
            text = f"CANARY{number:06d}"
        self.bytes.add(text.encode())
        if vr in ("OB", "OW", "OD", "OF", "OL", "OV", "UN"):
            return text.encode().ljust(16, b"\0")
        return text


def fill(dataset, tags, canaries):
    for tag in tags:
        vr = dictionary_VR(tag).split(" or ")[0] if dictionary_has_tag(tag) else "LO"
        if vr in NUMBERS:
            continue  # no room for a unique string; the values of such rows are checked by action below
        if vr == "SQ":
            item = Dataset()
            item.PatientName, item.TextValue = canaries.value("PN"), canaries.value("UT")
            inner = Dataset()
            inner.PatientID, inner.SeriesInstanceUID = canaries.value("LO"), canaries.value("UI")
            item.ContentSequence = Sequence([inner])
            item.PurposeOfReferenceCodeSequence = Sequence([inner])
            dataset.add(DataElement(tag, "SQ", Sequence([item])))
        else:
            dataset.add(DataElement(tag, vr, canaries.value(vr)))


def table_tags():
    return [tag for tag in table.rules(BASIC).actions if tag >> 16 >= 0x0008]


@pytest.fixture
def canary_file(make_dicom):
    """A file in which every row of the table, private, overlay, curve and unknown elements hold a canary."""
    canaries = Canaries()
    dataset = make_dicom()
    fill(dataset, table_tags(), canaries)
    step = Dataset()
    fill(step, table_tags(), canaries)
    step.add(DataElement(0x00111001, "LO", canaries.value("LO")))
    middle = Dataset()
    middle.ViewModifierCodeSequence = Sequence([step])  # a sequence that the profile keeps
    dataset.ViewCodeSequence = Sequence([middle])
    block = dataset.private_block(0x0009, canaries.value("LO"), create=True)
    block.add_new(0x01, "LO", canaries.value("LO"))
    block.add_new(0x02, "SQ", Sequence([step]))
    for group in (0x5000, 0x501E, 0x6000, 0x6002, 0x60FE):
        for element, vr in ((0x0022, "LO"), (0x1500, "LO"), (0x3000, "OW"), (0x4000, "LT")):
            dataset.add(DataElement(group << 16 | element, vr, canaries.value(vr)))
    dataset.add(DataElement(0x00081333, "LO", canaries.value("LO")))  # not in the dictionary
    dataset.add(DataElement(0x00281101 + 0x1000, "LO", canaries.value("LO")))
    dataset.add(DataElement(0x00080001, "LO", canaries.value("LO")))  # retired, not in the table
    dataset.add(DataElement(0x00140104, "PN", canaries.value("PN")))  # a name that the table does not list
    dataset.add(DataElement(0x00281052, "LO", canaries.value("LO")))  # a number that is text
    dataset.ReferencedImageEvidenceSequence = Sequence([step])
    dataset.preamble = canaries.value("LO").encode().ljust(128, b"\0")
    return dataset, canaries


def written(dataset):
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_no_canary_is_found_after(canary_file):
    dataset, canaries = canary_file
    before = written(dataset)
    assert len(canaries.bytes) > 1700
    assert all(canary in before for canary in canaries.bytes)
    after = written(clean_dataset(dcmread(io.BytesIO(before)), BASIC, Pseudonyms(KEY))[0])
    assert [canary for canary in canaries.bytes if canary in after] == []


def test_with_every_option_only_what_it_keeps_is_found(canary_file, profile_with):
    """Every canary that is left stands in a row which an option keeps or cleans, or is a time of day."""
    dataset, canaries = canary_file
    dataset.PatientID = "P-1"
    profile = profile_with(
        *(option for option in Option if option not in (Option.RETAIN_SAFE_PRIVATE, Option.RETAIN_UIDS))
    )
    cleaned, _ = clean_dataset(dcmread(io.BytesIO(written(dataset))), profile, Pseudonyms(KEY))
    actions = table.rules(profile).actions

    def look(item, kept):
        for element in item:
            action = actions.get(element.tag)
            if element.VR == "SQ":
                for inner in element.value:
                    look(inner, kept)
                continue
            if any(canary.decode() in str(element.value) for canary in canaries.bytes):
                kept.add((action, element.VR))
                may_stay = action in ("keep", "clean") or element.VR == "TM"
                assert may_stay or (action is None and element.VR in ("LT", "ST", "UT", "LO", "SH")), element.tag

    kept = set()
    look(cleaned, kept)
    assert {vr for _, vr in kept} & {"DA", "DT", "UI", "PN", "UN"} <= {"UI"}
    assert not [element for element in cleaned if element.tag.is_private or element.tag.group >> 8 in (0x50, 0x60)]


def test_every_row_meets_its_action(canary_file):
    dataset, _ = canary_file
    cleaned, _ = clean_dataset(dataset, BASIC, Pseudonyms(KEY))
    for tag in table_tags():
        action = table.rules(BASIC).actions[tag]
        if action == "remove" or not dictionary_has_tag(tag):
            assert tag not in cleaned
        elif tag not in dataset:
            continue
        elif action == "empty":
            assert not cleaned[tag].value
        else:
            assert cleaned[tag].value
            assert dictionary_VR(tag).split(" or ")[0] == cleaned[tag].VR
            assert len(str(cleaned[tag].value)) <= MAX_LENGTH.get(cleaned[tag].VR, 2000)


def test_what_is_left_can_be_written_and_read_strictly(canary_file):
    dataset, _ = canary_file
    cleaned, _ = clean_dataset(dataset, BASIC, Pseudonyms(KEY))
    again = dcmread(io.BytesIO(written(cleaned)))
    again.decode()
    assert again.to_json_dict() == cleaned.to_json_dict()
    assert again.file_meta.MediaStorageSOPInstanceUID == again.SOPInstanceUID
    assert again.preamble == bytes(128)


def test_the_file_is_marked(make_dicom):
    cleaned, _ = clean_dataset(make_dicom(), BASIC, Pseudonyms(KEY))
    assert cleaned.PatientIdentityRemoved == "YES"
    assert edition() in cleaned.DeidentificationMethod[1]
    assert cleaned.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert cleaned.LongitudinalTemporalInformationModified == "REMOVED"


def test_what_training_needs_stays(make_dicom):
    dataset = make_dicom(PixelSpacing=[0.2, 0.3], ViewPosition="PA", PixelPaddingValue=0)
    cleaned, _ = clean_dataset(dataset, BASIC, Pseudonyms(KEY))
    for keyword in (
        "Rows",
        "BitsStored",
        "PixelSpacing",
        "ViewPosition",
        "BodyPartExamined",
        "Modality",
        "SOPClassUID",
    ):
        assert cleaned[keyword] == dataset[keyword]
    assert "PixelData" not in cleaned
    assert dataset.PatientName == "Doe^Jane", "the original is not changed"


def test_links_between_files_hold_and_standard_uids_stay(make_dicom):
    first = make_dicom()
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CTImageStorage, first.SOPInstanceUID
    second = make_dicom(ReferencedImageSequence=Sequence([reference]), StudyInstanceUID=first.StudyInstanceUID)
    one, two = (clean_dataset(dataset, BASIC, Pseudonyms(KEY))[0] for dataset in (first, second))
    assert two.ReferencedImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID != first.SOPInstanceUID
    assert two.ReferencedImageSequence[0].ReferencedSOPClassUID == CTImageStorage
    assert one.StudyInstanceUID == two.StudyInstanceUID
    assert one.SOPInstanceUID.is_valid
    assert one.SOPInstanceUID.startswith("2.25.")


def test_pseudonyms_depend_on_key_and_purpose_alone():
    pseudonyms, other = Pseudonyms(KEY), Pseudonyms(bytes(32))
    assert pseudonyms.patient("P-1") == Pseudonyms(KEY).patient("P-1")
    assert len(pseudonyms.patient("P-1")) == 32
    values = [named.patient("P-1") for named in (pseudonyms, other)] + [pseudonyms.patient("P-2")]
    values += [pseudonyms.file("P-1"), pseudonyms.uid("P-1")]
    assert len(set(values)) == len(values)
    with pytest.raises(RuntimeError):
        Pseudonyms(b"short")
    assert "0001" not in repr(pseudonyms)


def test_sequences_without_end_are_rejected(make_dicom):
    dataset = make_dicom()
    item = dataset
    for _ in range(40):
        inner = Dataset()
        item.ViewCodeSequence = Sequence([inner])
        item = inner
    with pytest.raises(ImageRejected) as caught:
        clean_dataset(dataset, BASIC, Pseudonyms(KEY))
    assert caught.value.rejection == Rejection.MALFORMED

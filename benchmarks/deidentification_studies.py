"""Made studies that say of themselves what must stay and what must go: an answer table in MIDI-B's vocabulary.

From a seed come patients, each with studies of several modalities whose headers name them in the usual places
and in places where they should not be (descriptions, comments, nested items, private elements, pixels). All
names are made up. A score on these says how the code does on what its authors thought of, and no more.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
import pydicom.uid
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset, FileMetaDataset, Sequence
from pydicom.uid import ExplicitVRLittleEndian

FAMILY = tuple(
    "Okafor Lindqvist Haddad O'Brien Smith-Jones Müller Tanaka Petrov Castellano Nguyen Dubois Kowalska".split()  # noqa: SIM905 - as a list it would be a page long
)
GIVEN = tuple(
    "Amara Sven Leila Siobhan Mary-Ann Jürgen Haruka Dmitri Lucia Minh Claire Zofia".split()  # noqa: SIM905 - as a list it would be a page long
)
DOCTORS = tuple(
    "Whitfield Abernathy Rosenthal Delacroix Yamamoto Fitzgerald Grimaldi Sorensen".split()  # noqa: SIM905 - as a list it would be a page long
)
SERIES = {
    "CT": ("CTImageStorage", ["CT THORAX 5.0 B70f", "ABDOMEN W/O CONTRAST", "Lung 1.25mm kernel"]),
    "MR": ("MRImageStorage", ["AX T2 FLAIR", "SAG T1 MPRAGE 1mm iso", "DWI b1000 ADC map"]),
    "PT": ("PositronEmissionTomographyImageStorage", ["PET WB corrected", "PET AC 2mm"]),
    "CR": ("ComputedRadiographyImageStorage", ["CHEST PA", "KNEE LAT LEFT"]),
    "DX": ("DigitalXRayImageStorageForPresentation", ["PA and Lateral", "Thorax stehend"]),
    "MG": ("DigitalMammographyXRayImageStorageForPresentation", ["L MLO", "R CC magnification"]),
    "US": ("UltrasoundImageStorage", ["Abdomen complete", "Thyroid long axis"]),
}
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Answer:
    """What must hold of one element (or box) after: `action` is MIDI-B's, `path` leads through items."""

    action: str
    path: tuple[str | int, ...]
    value: str = ""
    box: Box | None = None


@dataclass
class Made:
    """A file and its answers."""

    dataset: Dataset
    answers: list[Answer] = field(default_factory=list)


@dataclass(frozen=True)
class Person:
    """Who the made patient is."""

    family: str
    given: str
    identifier: str
    accession: str
    birth: date
    study: date
    doctor: str


def studies(seed: int, patients: int, *, burned_in: int = 0) -> Iterator[Made]:
    """Files of made patients, two series of two images each a patient.

    Args:
        seed: of everything.
        patients: how many.
        burned_in: how many of the first patients also have an image with their name in its pixels.
    """
    rng = np.random.default_rng(seed)
    for number in range(patients):
        person = _person(rng, number)
        study = f"1.2.826.0.1.{seed + 1}.{number + 1}"
        for series, modality in enumerate(rng.choice(sorted(SERIES), 2, replace=False)):
            frame_of_reference = f"{study}.{series}.9"
            uids = [f"{study}.{series}.{image}.1" for image in range(2)]
            for image, uid in enumerate(uids):
                made = _image(rng, person, str(modality), study, f"{study}.{series}", uid, frame_of_reference)
                _reference(made, uids[1 - image])
                yield made
        if number < burned_in:
            yield _with_text(rng, person, study, number)


def _person(rng: np.random.Generator, number: int) -> Person:
    birth = date(1930, 1, 1) + timedelta(days=int(rng.integers(0, 25_000)))
    return Person(
        family=str(rng.choice(FAMILY)),
        given=str(rng.choice(GIVEN)),
        identifier=f"MR{rng.integers(10**6, 10**7)}-{number}",
        accession=f"A{rng.integers(10**7, 10**8)}",
        birth=birth,
        study=date(2015, 1, 1) + timedelta(days=int(rng.integers(0, 3000))),
        doctor=str(rng.choice(DOCTORS)),
    )


def _image(
    rng: np.random.Generator, person: Person, modality: str, study: str, series: str, uid: str, frame: str
) -> Made:
    made = Made(Dataset())
    dataset = made.dataset
    storage, descriptions = SERIES[modality]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.Modality = getattr(pydicom.uid, storage), modality
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = uid
    for keyword, value in (("SOPInstanceUID", uid), ("StudyInstanceUID", study), ("SeriesInstanceUID", series)):
        _set(made, keyword, value, "uid_changed", "uid_consistent")
    _set(made, "FrameOfReferenceUID", frame, "uid_changed", "uid_consistent")
    _identity(made, person)
    _dates(made, rng, person)
    _descriptions(made, rng, person, str(rng.choice(descriptions)))
    _technique(made, rng, modality)
    _private(made, person)
    _pixels(made, rng, modality)
    return made


def _identity(made: Made, person: Person) -> None:
    dataset = made.dataset
    _set(made, "PatientID", person.identifier, "patid_consistent", "text_removed")
    _set(made, "PatientName", f"{person.family}^{person.given}")
    _answer(made, "text_removed", "PatientName", value=person.family)
    _set(made, "PatientBirthDate", f"{person.birth:%Y%m%d}", "text_removed")
    _set(made, "AccessionNumber", person.accession, "text_removed")
    _set(made, "ReferringPhysicianName", f"{person.doctor}^Karen", "text_removed")
    _set(made, "OperatorsName", "Quillfeather^Bo", "text_removed")
    _set(made, "InstitutionName", "Harbour View Infirmary", "text_removed")
    _set(made, "PatientAddress", "17 Juniper Crescent, Aberwyn", "text_removed")
    _set(made, "OtherPatientIDs", f"X{person.identifier}", "text_removed")
    _set(made, "PatientSex", "F", "text_retained")
    _set(made, "PatientAge", f"{min(person.study.year - person.birth.year, 89):03d}Y", "text_retained")
    _set(made, "PatientSize", "1.71", "text_retained")
    _set(made, "StudyID", "1")
    dataset.PatientTelephoneNumbers = "555-201-4477"
    _answer(made, "text_removed", "PatientTelephoneNumbers", value="555-201-4477")


def _dates(made: Made, rng: np.random.Generator, person: Person) -> None:
    for keyword, later in (("StudyDate", 0), ("SeriesDate", 0), ("AcquisitionDate", 1), ("ContentDate", 1)):
        _set(made, keyword, f"{person.study + timedelta(days=later):%Y%m%d}", "date_shifted")
    _set(made, "AcquisitionDateTime", f"{person.study:%Y%m%d}101112.500", "date_shifted")
    made.dataset.StudyTime = made.dataset.SeriesTime = f"{rng.integers(8, 18):02d}1530"
    _answer(made, "text_notnull", "StudyTime")


def _descriptions(made: Made, rng: np.random.Generator, person: Person, core: str) -> None:
    """A description that must stay with an intruder that must go."""
    intruders = [
        f"for {person.given} {person.family}",
        f"{person.family.upper()}",
        f"MRN {person.identifier}",
        f"ref Dr. {rng.choice(DOCTORS)}",
        f"{person.study:%m/%d/%Y}",
        f"on {person.study:%Y-%m-%d}",
        f"dob {person.birth:%d %b %Y}",
        f"acc {person.accession}",
        "call 555-349-2210",
        "mail k.wren@harbourview.example",
        "SSN 219-09-9999",
        "Harbour View Infirmary",
    ]
    for keyword in (
        "SeriesDescription",
        "StudyDescription",
        "ProtocolName",
        "ImageComments",
        "RequestedProcedureDescription",
    ):
        intruder = str(rng.choice(intruders))
        text = f"{core} {intruder}" if rng.random() < 0.7 else f"{intruder}, {core}"
        if rng.random() < 0.3:
            _set(made, keyword, core, "text_retained")
            continue
        setattr(made.dataset, keyword, text)
        _answer(made, "text_retained", keyword, value=core)
        secret = intruder.split(" ", 1)[1] if intruder.split(" ", 1)[0] in _LEADS else intruder
        _answer(made, "text_removed", keyword, value=secret)
    request = Dataset()
    request.RequestedProcedureID = person.accession
    request.ScheduledProcedureStepDescription = f"{core} {person.given} {person.family}"
    request.ScheduledProcedureStepStartDate = f"{person.study:%Y%m%d}"
    made.dataset.RequestAttributesSequence = Sequence([request])
    step = ("RequestAttributesSequence", 0, "ScheduledProcedureStepDescription")
    made.answers += [Answer("text_retained", step, core), Answer("text_removed", step, person.family)]
    made.answers.append(
        Answer("text_removed", ("RequestAttributesSequence", 0, "RequestedProcedureID"), person.accession)
    )


_DESCRIPTIONS = (
    "SeriesDescription",
    "StudyDescription",
    "ProtocolName",
    "ImageComments",
    "RequestedProcedureDescription",
)
_LEADS = frozenset({"for", "MRN", "ref", "on", "dob", "acc", "call", "mail", "SSN"})


def _technique(made: Made, rng: np.random.Generator, modality: str) -> None:
    _set(made, "Manufacturer", "ACME Imaging", "text_retained")
    _set(made, "ManufacturerModelName", "Tesla-o-matic 3", "text_retained")
    _set(made, "SoftwareVersions", "syngo 4.2", "text_retained")
    _set(made, "BodyPartExamined", str(rng.choice(["CHEST", "ABDOMEN", "KNEE"])), "text_retained")
    _set(made, "ImageType", ["ORIGINAL", "PRIMARY"], "tag_retained")
    _set(made, "PatientPosition", "HFS", "text_retained")
    _set(made, "SliceThickness", "5.0", "text_retained")
    _set(made, "PixelSpacing", [0.5, 0.5], "tag_retained")
    _set(made, "InstanceNumber", "1", "tag_retained")
    _set(made, "SeriesNumber", "1", "tag_retained")
    if modality in ("CT", "DX", "CR", "MG"):
        _set(made, "KVP", "120", "text_retained")
    _set(made, "DeviceSerialNumber", "SN-90817263", "text_removed")
    _set(made, "StationName", "AEROOM7", "text_removed")


def _private(made: Made, person: Person) -> None:
    block = made.dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "1000")
    block.add_new(0x08, "LO", f"{person.given} {person.family}")
    made.answers.append(Answer("tag_retained", ("0019100C",)))
    made.answers.append(Answer("text_removed", ("00191008",), person.family))


def _pixels(made: Made, rng: np.random.Generator, modality: str) -> None:
    rows, columns = 64, 96
    values = rng.integers(10, 200, (rows, columns)).astype(np.uint8)
    dataset = made.dataset
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    if modality == "US":
        region = Dataset()
        region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 16
        region.RegionLocationMaxX1, region.RegionLocationMaxY1 = columns - 1, rows - 1
        region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
        region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
        region.PhysicalDeltaX = region.PhysicalDeltaY = 0.05
        dataset.SequenceOfUltrasoundRegions = Sequence([region])
        made.answers.append(Answer("pixels_hidden", (), box=(0, 0, columns, 16)))
    else:
        made.answers.append(Answer("pixels_retained", ()))
    dataset.PixelData = values.tobytes()


def _with_text(rng: np.random.Generator, person: Person, study: str, number: int) -> Made:
    made = _image(rng, person, "CR", study, f"{study}.8", f"{study}.8.{number}.1", f"{study}.8.9")
    made.answers = [answer for answer in made.answers if not answer.action.startswith("pixels")]
    picture = Image.fromarray(rng.normal(90, 4, (256, 384)).astype(np.uint8))
    name = f"{person.family}, {person.given}"
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(18)
    lines = ((name, (12, 10)), (f"ID {person.identifier}", (12, 38)))
    for text, at in lines:
        x0, y0, x1, y1 = (int(edge) for edge in pen.textbbox(at, text, font=font))
        pen.text(at, text, fill=255, font=font)
        made.answers.append(Answer("pixels_hidden", (), box=(x0, y0, x1, y1)))
    made.dataset.Rows, made.dataset.Columns = 256, 384
    made.dataset.PixelData = picture.tobytes()
    return made


def _reference(made: Made, other: str) -> None:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = made.dataset.SOPClassUID, other
    made.dataset.ReferencedImageSequence = Sequence([item])
    made.answers.append(Answer("uid_consistent", ("ReferencedImageSequence", 0, "ReferencedSOPInstanceUID"), other))


def _set(made: Made, keyword: str, value: Any, *actions: str) -> None:
    setattr(made.dataset, keyword, value)
    for action in actions:
        made.answers.append(Answer(action, (keyword,), str(value)))


def _answer(made: Made, action: str, keyword: str, value: str = "") -> None:
    made.answers.append(Answer(action, (keyword,), value))

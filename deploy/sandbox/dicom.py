"""Writes made-up radiographs as DICOM files with full headers, as a hospital's archive would hold them.

Every person, number and date in the headers is invented. What pixels show is not decided here.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

FAMILY_NAMES = ("Almeida", "Brandt", "Chaudhry", "Dubois", "Eriksen", "Farkas", "Greco", "Haddad", "Ito", "Jansen")
GIVEN_NAMES = ("Ada", "Bruno", "Clara", "Dario", "Elif", "Femi", "Greta", "Hugo", "Iris", "Jonas", "Kamala", "Leo")


@dataclass(frozen=True)
class Device:
    """The header side of a scanner: who made it, where it stands, how many bits it stores."""

    institution: str
    manufacturer: str
    model: str
    bits_stored: int = 12


@dataclass(frozen=True)
class Person:
    """A made-up patient; `number` decides name, birth date and sex, so that a rerun gives the same person."""

    key: str
    number: int
    study_uid: str = field(default_factory=generate_uid)

    @property
    def name(self) -> str:
        """Family and given name in DICOM's form."""
        return f"{FAMILY_NAMES[self.number % 10]}^{GIVEN_NAMES[self.number // 10 % 12]}"

    @property
    def birth_date(self) -> str:
        """YYYYMMDD."""
        return f"{1935 + self.number * 7 % 80}{1 + self.number % 12:02d}{1 + self.number * 5 % 28:02d}"


def write(path: Path, pixels: NDArray[np.uint16], person: Person, device: Device, *, inverted: bool = False) -> None:
    """Write one radiograph as a Part 10 file (Computed Radiography, explicit little endian).

    Args:
        path: the file, which must not exist.
        pixels: (rows, columns), larger = brighter on a MONOCHROME2 display, below 2**bits_stored.
        inverted: store it as MONOCHROME1, where larger = darker (PS3.3 C.7.6.3.1.2).
    """
    uid = generate_uid()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    image.SOPClassUID = ComputedRadiographyImageStorage
    image.SOPInstanceUID = uid
    _identify(image, person, device)
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    image.BitsAllocated = 16
    image.BitsStored = device.bits_stored
    image.HighBit = device.bits_stored - 1
    image.PixelRepresentation = 0
    image.PixelSpacing = [2.0, 2.0]
    stored = (2**device.bits_stored - 1) - pixels if inverted else pixels
    image.PixelData = stored.astype("<u2").tobytes()
    with path.open("xb") as file:
        image.save_as(file, enforce_file_format=True)


def _identify(image: Dataset, person: Person, device: Device) -> None:
    day = f"2025{1 + person.number % 12:02d}{1 + person.number % 28:02d}"
    clock = f"{8 + person.number % 10:02d}{person.number % 60:02d}00"
    image.PatientName = person.name
    image.PatientID = person.key
    image.PatientBirthDate = person.birth_date
    image.PatientSex = "FM"[person.number % 2]
    image.PatientAge = f"{2025 - int(person.birth_date[:4]):03d}Y"
    image.PatientAddress = f"{1 + person.number % 90} Invented Street"
    image.PatientTelephoneNumbers = f"+00 555 {person.number:06d}"
    image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = day
    image.StudyTime = image.SeriesTime = image.AcquisitionTime = image.ContentTime = clock
    image.AccessionNumber = f"ACC{person.number:07d}"
    image.StudyInstanceUID = person.study_uid
    image.SeriesInstanceUID = generate_uid()
    image.StudyID = str(person.number)
    image.SeriesNumber = image.InstanceNumber = 1
    image.StudyDescription = f"Chest PA, {person.name.replace('^', ' ')}"
    image.ReferringPhysicianName = "Referrer^Rosa"
    image.OperatorsName = "Operator^Olaf"
    image.InstitutionName = device.institution
    image.InstitutionAddress = "1 Imaginary Square"
    image.StationName = f"{device.model.upper().replace(' ', '')[:12]}1"
    image.Manufacturer = device.manufacturer
    image.ManufacturerModelName = device.model
    image.DeviceSerialNumber = "SN-000001"
    image.Modality = "CR"
    image.BodyPartExamined = "CHEST"
    image.ViewPosition = "PA"
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    image.BurnedInAnnotation = "NO"
    request = Dataset()
    request.RequestedProcedureDescription = f"Chest of {person.name}"
    request.RequestedProcedureID = f"REQ{person.number:06d}"
    image.RequestAttributesSequence = [request]
    block = image.private_block(0x0009, "INVENTED SCANNER", create=True)
    block.add_new(0x01, "LO", f"private note on {person.name}")

"""A decoded radiograph made clean: the only thing that a cohort stores."""

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray
from pydicom import Dataset

from imaging.deidentification.profile import BASIC, Profile
from imaging.deidentification.pseudonyms import Naming
from imaging.deidentification.walk import clean_dataset
from imaging.volumes.radiograph import DicomImage


@dataclass(frozen=True)
class CleanImage:
    """A de-identified image. Made by `clean` alone.

    Attributes:
        patient: pseudonym of the patient.
        instance: UID in place of the SOP instance UID.
        modality: CR or DX.
        header: the de-identified attributes, without pixels, marked as such; not to be changed.
        pixels: (rows, columns), read-only, uint8, uint16 or float32, larger is brighter.
    """

    patient: str
    instance: str
    modality: str
    header: Dataset = field(repr=False)
    pixels: NDArray[Any] = field(repr=False)


def clean(image: DicomImage, pseudonyms: Naming, profile: Profile = BASIC) -> CleanImage:
    """De-identify a decoded image.

    Raises:
        ImageRejected: MALFORMED: an attribute that stays cannot be read, or sequences nest without end.
    """
    patient = pseudonyms.patient(image.header.patient)
    header, _ = clean_dataset(image.header.dataset, profile, pseudonyms)
    header.PatientID = patient
    return CleanImage(
        patient=patient,
        instance=pseudonyms.uid(image.header.instance),
        modality=image.header.modality,
        header=header,
        pixels=image.pixels,
    )

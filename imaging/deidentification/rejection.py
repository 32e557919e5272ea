"""Why a readable file is not de-identified: codes with fixed sentences, which hold nothing of the file.

Files that cannot be read have the codes of `imaging.volumes.rejection`.
"""

from enum import StrEnum

from imaging.errors import ImagingError

NOT_A_FILE = "file.not_regular"
"""What is no regular file; links are not followed."""


class Quarantine(StrEnum):
    """Why a file goes on the quarantine list; stable."""

    DUPLICATE = "duplicate.instance"
    MEDIA_DIRECTORY = "dicom.media_directory"
    SOP_CLASS = "pixels.sop_class"
    DOCUMENT = "pixels.encapsulated_document"
    BURNED_IN = "pixels.burned_in"
    SCREEN = "pixels.screen_save"
    ULTRASOUND = "pixels.ultrasound_without_regions"
    UNDECODABLE = "pixels.undecodable"
    TEXT = "pixels.identifying_text"
    OCR = "pixels.search_failed"
    FACE = "pixels.face"


SENTENCES = {
    Quarantine.DUPLICATE: "another file has the same SOP instance UID",
    Quarantine.MEDIA_DIRECTORY: "a DICOMDIR lists patients and files; it is not copied",
    Quarantine.SOP_CLASS: "its SOP class is not on the profile's list",
    Quarantine.DOCUMENT: "a document in a DICOM file may hold anything; it cannot be cleaned",
    Quarantine.BURNED_IN: "the file says, or does not deny, that patient data is burned into its pixels",
    Quarantine.SCREEN: "a photographed screen or dose report shows patient data as a rule",
    Quarantine.ULTRASOUND: "ultrasound without regions, no rule is known for its device, or pixels must not change",
    Quarantine.UNDECODABLE: "the pixels cannot be decoded here, and they have to be searched or changed",
    Quarantine.TEXT: "the pixels show text that identifies the patient",
    Quarantine.OCR: "the search for text in the pixels failed or took too long",
    Quarantine.FACE: "the scan may show a face, and the profile does not accept that",
}


class Quarantined(ImagingError):
    """A file that is not de-identified; `code` is one of `Quarantine`."""

    def __init__(self, quarantine: Quarantine) -> None:
        super().__init__(SENTENCES[quarantine], quarantine.value)
        self.quarantine = quarantine

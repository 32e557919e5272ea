"""The marks of a de-identified file: that its patient is gone, by which method, and what became of its dates.

PS3.15 E.1.1; codes of PS3.16 CID 7050.
"""

from collections.abc import Iterable

from pydicom import Dataset, Sequence

from imaging.deidentification.profile import Option, Profile

METHOD = "DICOM PS3.15 Basic Application Level Confidentiality Profile"
_BASIC = ("113100", "Basic Application Confidentiality Profile")
_CODES = {
    Option.CLEAN_PIXELS: ("113101", "Clean Pixel Data Option"),
    Option.CLEAN_GRAPHICS: ("113103", "Clean Graphics Option"),
    Option.CLEAN_STRUCTURED_CONTENT: ("113104", "Clean Structured Content Option"),
    Option.CLEAN_DESCRIPTORS: ("113105", "Clean Descriptors Option"),
    Option.MODIFIED_DATES: ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    Option.RETAIN_PATIENT_CHARACTERISTICS: ("113108", "Retain Patient Characteristics Option"),
    Option.RETAIN_DEVICE: ("113109", "Retain Device Identity Option"),
    Option.RETAIN_UIDS: ("113110", "Retain UIDs Option"),
    Option.RETAIN_SAFE_PRIVATE: ("113111", "Retain Safe Private Option"),
    Option.RETAIN_INSTITUTION: ("113112", "Retain Institution Identity Option"),
}
_FACES = ("113102", "Clean Recognizable Visual Features Option")
FACES_LEFT = "visual features not cleaned"


def mark(cleaned: Dataset, profile: Profile, edition: str) -> None:
    """Mark a cleaned header.

    Args:
        cleaned: changed in place.
        profile: that it was cleaned by.
        edition: of the table.
    """
    cleaned.PatientIdentityRemoved = "YES"
    cleaned.DeidentificationMethod = [METHOD, f"edition {edition}, by Collegium"]
    chosen = [_CODES[option] for option in sorted(profile.options) if option != Option.CLEAN_PIXELS]
    cleaned.DeidentificationMethodCodeSequence = Sequence(_items([_BASIC, *chosen]))
    shifted = profile.has(Option.MODIFIED_DATES)
    cleaned.LongitudinalTemporalInformationModified = "MODIFIED" if shifted else "REMOVED"


def mark_pixels(cleaned: Dataset) -> None:
    """Add that the pixels were searched and cleaned: only once they were."""
    cleaned.BurnedInAnnotation = "NO"
    cleaned.DeidentificationMethodCodeSequence.extend(_items([_CODES[Option.CLEAN_PIXELS]]))


def mark_face(cleaned: Dataset, *, masked: bool) -> None:
    """Add what became of a face: masked, or that it may still be seen."""
    if masked:
        cleaned.RecognizableVisualFeatures = "NO"
        cleaned.DeidentificationMethodCodeSequence.extend(_items([_FACES]))
    else:
        cleaned.RecognizableVisualFeatures = "YES"
        cleaned.DeidentificationMethod = [*cleaned.DeidentificationMethod, FACES_LEFT]


def _items(codes: Iterable[tuple[str, str]]) -> list[Dataset]:
    items = []
    for value, meaning in codes:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
        items.append(item)
    return items

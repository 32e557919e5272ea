"""Opens DICOM label files (SEG, RTSTRUCT, SR), which come from outside: bounded, and without quoting them in errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, FileDataset, dcmread

from imaging import bounded, foreign
from imaging.errors import ImagingError

MAX_FILE_BYTES = 2**30
"""A larger label file is refused unread."""


@dataclass(frozen=True)
class Reference:
    """Whose label file this is and what it was drawn on; identifies the patient, so not for printing.

    Attributes:
        patient: PatientID.
        study: StudyInstanceUID.
        series: of the images that it refers to; empty where the file does not say.
        instances: SOP instance UIDs that it refers to, anywhere in it.
    """

    patient: str = field(repr=False)
    study: str = field(repr=False)
    series: frozenset[str] = field(repr=False)
    instances: frozenset[str] = field(repr=False)


def read(path: Path, kinds: frozenset[str]) -> FileDataset:
    """A DICOM file of one of these SOP classes.

    Raises:
        ImagingError: `label_file.unreadable`, `label_file.too_large`, `label_file.kind` or `label_file.malformed`.
    """
    try:
        data = bounded.read(path, MAX_FILE_BYTES)
    except OSError as error:
        raise ImagingError("a label file cannot be read; check its permissions", "label_file.unreadable") from error
    if len(data) > MAX_FILE_BYTES:
        raise ImagingError(f"a label file is larger than {MAX_FILE_BYTES} bytes", "label_file.too_large")
    with reading():
        if foreign.is_deflated(data):
            raise ImagingError("a label file is deflated as a whole; store it in another syntax", "label_file.kind")
        dataset = dcmread(BytesIO(data))
        if str(dataset.get("SOPClassUID", "")) not in kinds:
            raise ImagingError("a label file is not of the kind that the study names", "label_file.kind")
    return dataset


@contextmanager
def reading() -> Iterator[None]:
    """Turn what readers raise into one error, and silence their warnings: both quote the file's values.

    Raises:
        ImagingError: `label_file.malformed`, or as the body raised it.
    """
    try:
        with foreign.silenced():
            yield
    except ImagingError:
        raise
    except foreign.ERRORS:
        raise ImagingError("a label file does not follow the standard; make it again", "label_file.malformed") from None


def reference(dataset: Dataset) -> Reference:
    """What a label file refers to.

    Raises:
        ImagingError: `label_file.malformed`.
    """
    series, instances = set(), set()
    with reading():
        for element in dataset.iterall():
            if element.keyword == "ReferencedSOPInstanceUID":
                instances.add(str(element.value))
            elif element.keyword == "SeriesInstanceUID":
                series.add(str(element.value))
        series.discard(str(dataset.get("SeriesInstanceUID", "")))
        patient, study = str(dataset.get("PatientID", "")).strip(), str(dataset.get("StudyInstanceUID", ""))
    return Reference(patient, study, frozenset(series), frozenset(instances))

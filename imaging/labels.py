"""The label file of a cohort: one row a patient, read strictly and forgotten as names at once.

Columns `patient,label,split`, in any order and no others. `patient` is the PatientID of the DICOM
files, `label` is 0 or 1, `split` is train, val or test; a patient has one row and so one split. Errors
name the row (1 is the header), never its content.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from imaging.deidentify import Pseudonyms
from imaging.errors import ImagingError

COLUMNS = ("patient", "label", "split")
SPLITS = ("train", "val", "test")
MAX_BYTES = 256 * 2**20
"""A larger file is refused unread: some millions of patients."""

_LABELS = MappingProxyType({"0": 0, "1": 1})


@dataclass(frozen=True)
class Label:
    """What the file says of one patient, and in which row."""

    label: int
    split: str
    row: int


def read(path: Path, pseudonyms: Pseudonyms) -> Mapping[str, Label]:
    """Labels by the patient's pseudonym.

    Raises:
        ImagingError: `labels.unreadable`, `labels.columns`, `labels.row`, `labels.label`,
            `labels.split` or `labels.duplicate`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ImagingError(
            "the label file cannot be read as UTF-8 text; check its name and format", "labels.unreadable"
        ) from error
    if len(data) > MAX_BYTES:
        raise ImagingError(f"the label file is larger than {MAX_BYTES} bytes", "labels.unreadable")
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    labels: dict[str, Label] = {}
    row = 0
    try:
        header = next(rows, [])
        if sorted(header) != sorted(COLUMNS):
            raise ImagingError(
                f"row 1 of the label file must name the columns {', '.join(COLUMNS)} and no others", "labels.columns"
            )
        for row, cells in enumerate(rows, start=2):
            if cells:
                _add(labels, row, cells, header, pseudonyms)
    except csv.Error as error:
        raise ImagingError(f"row {row + 1} of the label file is not valid CSV", "labels.row") from error
    return MappingProxyType(labels)


def _add(labels: dict[str, Label], row: int, cells: list[str], header: list[str], pseudonyms: Pseudonyms) -> None:
    where = f"row {row} of the label file"
    if len(cells) != len(COLUMNS):
        raise ImagingError(f"{where} does not have {len(COLUMNS)} columns", "labels.row")
    values = {column: cell.strip() for column, cell in zip(header, cells, strict=True)}
    if not values["patient"]:
        raise ImagingError(f"{where} has no patient", "labels.row")
    if values["label"] not in _LABELS:
        raise ImagingError(f"{where}: the label must be 0 or 1", "labels.label")
    if values["split"] not in SPLITS:
        raise ImagingError(f"{where}: the split must be one of {', '.join(SPLITS)}", "labels.split")
    patient = pseudonyms.patient(values["patient"])
    if patient in labels:
        raise ImagingError(
            f"{where} repeats the patient of row {labels[patient].row}; keep one of them", "labels.duplicate"
        )
    labels[patient] = Label(_LABELS[values["label"]], values["split"], row)

"""The label table of a cohort: a CSV file, read strictly and forgotten as names at once.

Columns, in any order and no others: `patient` (the PatientID of the DICOM files), optionally `study` and
`series` (their instance UIDs) where a patient's images have labels of their own, the columns of the label
(see `imaging.labels.kinds`), and `split`: train, val or test. A patient is in one split, whatever the
number of rows, so that no patient is both trained on and tested with. Errors name the row (1 is the
header), never its content.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from imaging import bounded
from imaging.errors import ImagingError
from imaging.labels.kinds import Binary, Kind, Value

SPLITS = ("train", "val", "test")
MAX_BYTES = 256 * 2**20
"""A larger file is refused unread: some millions of patients."""

_KEYS = ("patient", "study", "series")
_UID = re.compile(r"[0-9.]{1,64}")


class Names(Protocol):
    """What names are replaced by: `Pseudonyms` of the site."""

    def patient(self, patient_id: str) -> str:
        """The pseudonym of a PatientID."""

    def uid(self, uid: str) -> str:
        """The UID in place of a UID."""


@dataclass(frozen=True)
class Image:
    """Whose image, of which study and series, all as pseudonyms."""

    patient: str
    study: str
    series: str


@dataclass(frozen=True)
class Label:
    """What the table says in a row.

    Attributes:
        value: class, number, or 0/1 of each finding.
        split: train, val or test.
        row: of the file, from 1.
    """

    value: Value
    split: str
    row: int


@dataclass(frozen=True)
class Match:
    """How a table and the images at hand fit; counts are the hospital's own.

    Attributes:
        rows: with at least one image.
        rows_without_image: numbers of the other rows, in order.
        images: with a label.
        images_without_label: how many have none.
    """

    rows: int
    rows_without_image: tuple[int, ...]
    images: int
    images_without_label: int


@dataclass(frozen=True)
class Table:
    """All labels of a cohort by pseudonym.

    Attributes:
        keys: columns that name what is labelled: `patient`, and `study` and `series` where the file has them.
        splits: patient -> split.
    """

    keys: tuple[str, ...]
    splits: Mapping[str, str] = field(repr=False)
    _labels: Mapping[tuple[str, ...], Label] = field(repr=False)

    def __len__(self) -> int:
        return len(self._labels)

    def of(self, image: Image) -> Label | None:
        """The label of an image, None where the table has none."""
        return self._labels.get(tuple(str(getattr(image, key)) for key in self.keys))

    def by_patient(self) -> Mapping[str, Label]:
        """The label of each patient.

        Raises:
            ImagingError: `labels.columns`: the table labels studies or series.
        """
        if self.keys != ("patient",):
            raise ImagingError(
                "this study takes one label a patient; leave the columns study and series out of the label file",
                "labels.columns",
            )
        return MappingProxyType({patient: label for (patient,), label in self._labels.items()})

    def match(self, images: Iterable[Image]) -> Match:
        """Compare with the images that there are."""
        found: set[int] = set()
        labelled = missing = 0
        for image in images:
            label = self.of(image)
            if label is None:
                missing += 1
            else:
                labelled += 1
                found.add(label.row)
        absent = sorted(label.row for label in self._labels.values() if label.row not in found)
        return Match(len(found), tuple(absent), labelled, missing)


def read(path: Path, names: Names, kind: Kind | None = None) -> Table:
    """Read a label file.

    Args:
        path: UTF-8 text, with or without byte order mark.
        names: pseudonyms of the site.
        kind: of the label; 0 or 1 when left out.

    Raises:
        ImagingError: `labels.unreadable`, `labels.columns`, `labels.row`, `labels.label`,
            `labels.split`, `labels.duplicate`, or `labels.leak`: a patient in two splits.
    """
    kind = kind or Binary()
    if set(kind.columns) & {*_KEYS, "split"}:
        raise ImagingError("a class of the study has the name of a column of the label file", "labels.columns")
    rows = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    row = 0
    try:
        header = next(rows, [])
        rest = sorted({*header} - {"study", "series"})
        if len(set(header)) != len(header) or rest != sorted(("patient", *kind.columns, "split")):
            raise ImagingError(
                f"row 1 of the label file must name the columns patient, {', '.join(kind.columns)}, split, may name "
                "study and series, and no others",
                "labels.columns",
            )
        reading = _Reading(tuple(header), tuple(key for key in _KEYS if key in header), kind, names)
        for row, cells in enumerate(rows, start=2):
            if cells:
                reading.add(row, cells)
    except csv.Error as error:
        raise ImagingError(f"row {row + 1} of the label file is not valid CSV", "labels.row") from error
    splits = {patient: split for patient, (split, _) in reading.splits.items()}
    return Table(reading.keys, MappingProxyType(splits), MappingProxyType(reading.labels))


def _text(path: Path) -> str:
    try:
        data = bounded.read(path, MAX_BYTES)
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ImagingError(
            "the label file cannot be read as UTF-8 text; check its name and format", "labels.unreadable"
        ) from error
    if len(data) > MAX_BYTES:
        raise ImagingError(f"the label file is larger than {MAX_BYTES} bytes", "labels.unreadable")
    return text


@dataclass
class _Reading:
    """A file as it is read, row by row."""

    header: tuple[str, ...]
    keys: tuple[str, ...]
    kind: Kind
    names: Names
    labels: dict[tuple[str, ...], Label] = field(default_factory=dict)
    splits: dict[str, tuple[str, int]] = field(default_factory=dict)

    def add(self, row: int, cells: Sequence[str]) -> None:
        where = f"row {row} of the label file"
        if len(cells) != len(self.header):
            raise ImagingError(f"{where} does not have {len(self.header)} columns", "labels.row")
        values = {column: cell.strip() for column, cell in zip(self.header, cells, strict=True)}
        key = self._key(where, values)
        try:
            value = self.kind.read([values[column] for column in self.kind.columns])
        except ValueError as error:
            raise ImagingError(f"{where}: the label must be {error}", "labels.label") from error
        split = values["split"]
        if split not in SPLITS:
            raise ImagingError(f"{where}: the split must be one of {', '.join(SPLITS)}", "labels.split")
        if key in self.labels:
            raise ImagingError(
                f"{where} repeats the {self.keys[-1]} of row {self.labels[key].row}; keep one of them",
                "labels.duplicate",
            )
        first, first_row = self.splits.setdefault(key[0], (split, row))
        if first != split:
            raise ImagingError(
                f"{where} puts the patient of row {first_row} into another split; a patient belongs to one",
                "labels.leak",
            )
        self.labels[key] = Label(value, split, row)

    def _key(self, where: str, values: Mapping[str, str]) -> tuple[str, ...]:
        if not values["patient"]:
            raise ImagingError(f"{where} has no patient", "labels.row")
        uids = [values[key] for key in self.keys[1:]]
        if not all(_UID.fullmatch(uid) for uid in uids):
            raise ImagingError(f"{where}: study and series must be instance UIDs", "labels.row")
        return (self.names.patient(values["patient"]), *(self.names.uid(uid) for uid in uids))

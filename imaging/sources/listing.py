"""A CSV that says of whom pictures and NIfTI files are: they carry no patient of their own.

Columns `file` and `patient`; `study`, `mask` and `spacing` where they are wanted. `file` and `mask` are paths below the
listing's own folder; one that leaves it, goes through a link or is named twice refuses the listing, which is taken
whole or not at all. Only names are judged here: what is in the files is for `imaging.volumes`.
"""

import csv
import io
import math
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from imaging import bounded
from imaging.errors import ImagingError

REQUIRED = ("file", "patient")
OPTIONAL = ("study", "mask", "spacing")
MAX_BYTES = 256 * 2**20
MAX_SPACING = 1000.0
"""Millimetres."""
MAX_NAME = 1024
"""Characters of a patient's or study's name."""
SUFFIXES = (".nii", ".nii.gz", ".png", ".jpg", ".jpeg")
PICTURE_MASK = ".png"
MASK_SUFFIXES = (".nii", ".nii.gz", PICTURE_MASK)


@dataclass(frozen=True)
class ListedFile:
    """One row.

    Attributes:
        path: the file.
        patient: as the hospital calls them; not for printing.
        study: what else is one examination with it; empty = the file is one by itself.
        mask: NIfTI or PNG file of its mask; None = it has none.
        spacing: mm, one a dimension in the order of the file's axes; None = the file says, or nobody does.
        row: in the listing, from 1; row 1 is the header.
    """

    path: Path = field(repr=False)
    patient: str = field(repr=False)
    study: str = field(repr=False)
    mask: Path | None = field(repr=False)
    spacing: tuple[float, ...] | None
    row: int


def read(listing: Path) -> tuple[ListedFile, ...]:
    """All rows, in their order.

    Raises:
        ImagingError: `listing.unreadable`, `listing.columns`, `listing.row`, `listing.spacing`, `listing.kind`,
            `listing.outside`, `listing.missing`, `listing.duplicate`, `listing.empty`.
    """
    try:
        data = bounded.read(listing, MAX_BYTES)
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ImagingError(
            "the listing cannot be read as UTF-8 text; check its name and format", "listing.unreadable"
        ) from error
    if len(data) > MAX_BYTES:
        raise ImagingError(f"the listing is larger than {MAX_BYTES} bytes", "listing.unreadable")
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    found: dict[Path, ListedFile] = {}
    named: dict[Path, int] = {}
    number = 0
    try:
        header = next(rows, [])
        if len(set(header)) != len(header) or not set(REQUIRED) <= set(header) <= {*REQUIRED, *OPTIONAL}:
            raise ImagingError(
                f"row 1 of the listing must name {', '.join(REQUIRED)}, may name {', '.join(OPTIONAL)}, and no others",
                "listing.columns",
            )
        for number, cells in enumerate(rows, start=2):
            if cells:
                one = _row(listing.parent, number, header, cells)
                for path in (one.path, *((one.mask,) if one.mask else ())):
                    if named.setdefault(path, number) != number or path in found:
                        raise ImagingError(
                            f"row {number} of the listing repeats a file of row {named[path]}; keep one of them",
                            "listing.duplicate",
                        )
                found[one.path] = one
    except csv.Error as error:
        raise ImagingError(f"row {number + 1} of the listing is not valid CSV", "listing.row") from error
    if not found:
        raise ImagingError("the listing names no file", "listing.empty")
    return tuple(found.values())


def _row(folder: Path, number: int, header: list[str], cells: list[str]) -> ListedFile:
    where = f"row {number} of the listing"
    if len(cells) != len(header):
        raise ImagingError(f"{where} does not have {len(header)} columns", "listing.row")
    values = {column: cell.strip() for column, cell in zip(header, cells, strict=True)}
    patient, study = values["patient"], values.get("study", "")
    if not patient or max(len(patient), len(study)) > MAX_NAME:
        raise ImagingError(f"{where} has no patient, or a name that is too long", "listing.row")
    path = _resolved(folder, where, values["file"], SUFFIXES)
    drawn = values.get("mask", "")
    mask = _resolved(folder, where, drawn, MASK_SUFFIXES) if drawn else None
    if path == mask:
        raise ImagingError(f"{where}: the mask is the file itself", "listing.duplicate")
    return ListedFile(path, patient, study, mask, _spacing(where, values), number)


def _resolved(folder: Path, where: str, name: str, suffixes: tuple[str, ...]) -> Path:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
        raise ImagingError(f"{where}: the file must lie below the listing's folder", "listing.outside")
    if not name.lower().endswith(suffixes):
        raise ImagingError(f"{where}: the file must end in one of {', '.join(suffixes)}", "listing.kind")
    path = folder
    for part in parts:
        path = path / part
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            raise ImagingError(f"{where}: there is no such file", "listing.missing") from None
        if stat.S_ISLNK(mode):
            raise ImagingError(f"{where}: the file is a link or behind one; name the file itself", "listing.outside")
    if not stat.S_ISREG(mode):
        raise ImagingError(f"{where}: there is no such file", "listing.missing")
    return path


def _spacing(where: str, values: dict[str, str]) -> tuple[float, ...] | None:
    text = values.get("spacing", "")
    if not text:
        return None
    try:
        spacing = tuple(float(number) for number in text.split())
    except ValueError:
        spacing = ()
    if len(spacing) not in (2, 3) or not all(math.isfinite(one) and 0 < one <= MAX_SPACING for one in spacing):
        raise ImagingError(f"{where}: spacing must be two or three numbers of mm, such as 0.7 0.7 3", "listing.spacing")
    return spacing

"""Which files of a folder are candidates: all regular ones below it, or those that its DICOMDIR lists.

Links, devices and sockets are counted and never followed. A DICOMDIR (PS3.3 Annex F, PS3.10) at the top of
the folder is the whole truth about a medium: a file that it lists and that is missing, or that lies outside
the folder, refuses the folder. File contents are not looked at here.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.multival import MultiValue
from pydicom.uid import MediaStorageDirectoryStorage

from imaging import bounded, foreign
from imaging.errors import ImagingError

DICOMDIR = "DICOMDIR"
MAX_DICOMDIR_BYTES = 512 * 2**20
MAX_DEPTH = 64
"""Folders within folders beyond this are refused: no archive has them."""


@dataclass(frozen=True)
class FoundFile:
    """A file as the file system shows it.

    Attributes:
        path: below the folder, with "/". It may name a patient: not for printing.
        size: bytes.
        mtime_ns: time of the last change, ns since 1970.
        regular: whether it is a plain file; links and devices are not.
    """

    path: str = field(repr=False)
    size: int
    mtime_ns: int
    regular: bool


def walk(folder: Path) -> Iterator[FoundFile]:
    """Every candidate, in a fixed order; memory for the names of one folder at a time, or for one DICOMDIR.

    Raises:
        ImagingError: `source.folder`, `source.deep`, `dicomdir.malformed`, `dicomdir.missing`, `dicomdir.outside`.
    """
    try:
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise NotADirectoryError
        if _is_file(folder / DICOMDIR):
            yield from _listed(folder)
        else:
            yield from _below(folder, "", 0)
    except OSError as error:
        raise ImagingError(
            "the source is no folder that can be read whole; check its name and permissions", "source.folder"
        ) from error


def _below(folder: Path, prefix: str, depth: int) -> Iterator[FoundFile]:
    if depth > MAX_DEPTH:
        raise ImagingError(f"the source has more than {MAX_DEPTH} folders within each other", "source.deep")
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _below(folder / entry.name, f"{prefix}{entry.name}/", depth + 1)
        else:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # it went away while the folder was read
            yield _seen(f"{prefix}{entry.name}", status)


def _listed(folder: Path) -> Iterator[FoundFile]:
    names = _referenced(folder / DICOMDIR)
    root = folder.resolve()
    for position, parts in enumerate(names, start=1):
        if not parts or any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
            raise ImagingError(
                f"file {position} of the DICOMDIR lies outside its folder; refuse this medium", "dicomdir.outside"
            )
        path = folder.joinpath(*parts)
        if not path.parent.resolve().is_relative_to(root):
            raise ImagingError(
                f"file {position} of the DICOMDIR is behind a link out of its folder; refuse this medium",
                "dicomdir.outside",
            )
        try:
            yield _seen("/".join(parts), path.lstat())
        except FileNotFoundError as error:
            raise ImagingError(
                f"file {position} of {len(names)} in the DICOMDIR is missing; copy the whole medium again",
                "dicomdir.missing",
            ) from error


def _referenced(path: Path) -> list[tuple[str, ...]]:
    """The Referenced File IDs of all records in use, in the order of the directory."""
    try:
        data = bounded.read(path, MAX_DICOMDIR_BYTES)
        if len(data) > MAX_DICOMDIR_BYTES:
            raise ValueError("too large")
        with foreign.silenced():
            if foreign.is_deflated(data):
                raise ValueError("a syntax that PS3.10 8.6 does not allow")
            dataset = dcmread(BytesIO(data))
            if dataset.file_meta.MediaStorageSOPClassUID != MediaStorageDirectoryStorage:
                raise ValueError("another SOP class")
            names = []
            for record in dataset.DirectoryRecordSequence:
                name = record.get("ReferencedFileID")
                if name and record.get("RecordInUseFlag", 0xFFFF) != 0:
                    names.append(tuple(str(part) for part in name) if isinstance(name, MultiValue) else (str(name),))
    except OSError:
        raise
    except foreign.ERRORS:
        raise ImagingError(
            "the DICOMDIR is not readable as one; copy the whole medium again", "dicomdir.malformed"
        ) from None
    return names


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _seen(path: str, status: os.stat_result) -> FoundFile:
    return FoundFile(path, status.st_size, status.st_mtime_ns, stat.S_ISREG(status.st_mode))

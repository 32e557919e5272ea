"""A report's folder: which files it has, and how evidence is copied into it, so that it can be checked by itself.

Copied are the public files of each ledger and the signed studies, nothing else; no link is followed. The figures are
computed from these copies, never from the originals, which may grow meanwhile. What the files mean is not known here.
Layout: docs/reference/report.md.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from compliance import signing
from compliance.cosignatures import FOLDERS, SUFFIXES
from compliance.evidence import CLOSED_FOLDERS, is_signed_study
from privacy import durable, regular
from privacy.errors import CollegiumError, ConfigError, CorruptState, StorageError
from privacy.ledger.files import ENTRIES, HEAD, ORIGIN, VERSION, read_origin

RECORD: Final = "report.json"
PAGE: Final = "report.html"
PRINT: Final = "report.pdf"
PREVIOUS: Final = "previous.json"
EVIDENCE: Final = "evidence"
STUDIES: Final = "studies"
SIGNATURES: Final = "signatures"
MAX_RECORD: Final = 64 << 20
"""A record with more bytes is not read."""
# The head first: entries that its party adds meanwhile are then only ahead of it.
_PUBLIC: Final = (HEAD, VERSION, ORIGIN, ENTRIES)
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
COSIGNED: Final = re.compile(rf"(?:silo|aggregator)-[a-z][a-z0-9-]{{0,39}}(?:{'|'.join(map(re.escape, SUFFIXES))})")
"""Names of files about cosigned heads, beside a ledger."""
_SIGNATURE: Final = re.compile(r"[0-9]{3}\.json")


@contextmanager
def new(directory: Path) -> Iterator[Path]:
    """A folder to write a report into; it appears as `directory` when all is written, or not at all.

    Raises:
        ConfigError: `directory` is there and not empty.
        StorageError: the disk refuses.
    """
    if directory.is_symlink() or (directory.exists() and (not directory.is_dir() or any(directory.iterdir()))):
        raise ConfigError(f"'{directory.name}' is there already; name a new folder for the report")
    unfinished = directory.with_name(f".{directory.name}.{secrets.token_hex(8)}")
    try:
        unfinished.mkdir(parents=True)
        try:
            yield unfinished
            unfinished.replace(directory)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        durable.sync_folder(directory.parent)
    except OSError as error:
        raise StorageError(
            f"the report could not be written ({error.strerror}); check the output's folder and free space"
        ) from error


def collect(sources: Sequence[Path], target: Path) -> None:
    """Copy the evidence below each of `sources`; reports that lie below, and `target`, are passed over.

    Raises:
        ConfigError: one of them is no folder.
        OSError: the disk refuses.
    """
    for source in sources:
        if not source.is_dir():
            raise ConfigError(f"there is no folder '{source.name}'; name the folder that holds the ledgers")
    (target / STUDIES).mkdir(parents=True)
    for source in sources:
        for folder, names, files in os.walk(source):
            here = Path(folder)
            names[:] = sorted(
                name
                for name in set(names) - CLOSED_FOLDERS
                if not (here / name / RECORD).exists() and (here / name).resolve() != target.resolve()
            )
            if ORIGIN in files:
                _copy_ledger(here, target)
            for name in sorted(files):
                if is_signed_study(here / name):
                    _copy_study(here / name, target / STUDIES)


def add_signature(directory: Path, envelope: bytes) -> None:
    """Put a signature beside those that are there.

    Raises:
        StorageError: the disk refuses.
    """
    folder = directory / SIGNATURES
    folder.mkdir(exist_ok=True)
    durable.create(folder / f"{len(list(folder.iterdir())) + 1:03d}.json", envelope, mode=0o644)


def signatures(directory: Path, record: bytes) -> tuple[signing.Signature, ...]:
    """The signatures in a report's folder, each verified to be under `record`, in the order they were made.

    Raises:
        CorruptState: one of them is not what was signed, or the folder holds what is no signature.
    """
    folder = directory / SIGNATURES
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    if any(path.is_symlink() or not _SIGNATURE.fullmatch(path.name) for path in files):
        raise CorruptState("the folder of signatures holds what is no signature", code="report.signature")
    return tuple(signing.verify(_some(path), record) for path in files)


def _some(path: Path) -> bytes:
    try:
        return regular.read(path, signing.MAX_BYTES + 1)
    except OSError as error:
        raise CorruptState(
            f"a signature cannot be read: {error.strerror}; ask for the report again", code="report.signature"
        ) from error


def _copy_ledger(folder: Path, target: Path) -> None:
    place = _free(target, _party(folder)) / "ledger"
    place.mkdir(parents=True)
    # Before the head: what others cosign meanwhile is then not of a ledger that is longer than the copy.
    for name in FOLDERS:
        _copy_cosigned(folder / name, place / name)
    for name in _PUBLIC:
        if (folder / name).is_file() and not (folder / name).is_symlink():
            shutil.copyfile(folder / name, place / name)


def _copy_cosigned(folder: Path, target: Path) -> None:
    if folder.is_symlink() or not folder.is_dir():
        return
    target.mkdir()
    for path in sorted(folder.iterdir()):
        if COSIGNED.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            shutil.copyfile(path, target / path.name)


def _copy_study(path: Path, target: Path) -> None:
    data = path.read_bytes()
    stem = path.stem if _NAME.fullmatch(path.stem) else "study"
    if all(other.read_bytes() != data for other in target.iterdir()):
        (_free(target, stem, ".yaml")).write_bytes(data)


def _party(folder: Path) -> str:
    """What the ledger calls itself; it is verified later, from the copy."""
    try:
        name = read_origin(folder)[0].rsplit("/", 1)[-1]
    except CollegiumError:
        name = ""
    return name if _NAME.fullmatch(name) and name != STUDIES else "ledger"


def _free(folder: Path, name: str, suffix: str = "") -> Path:
    number, path = 1, folder / f"{name}{suffix}"
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}{suffix}"
    return path

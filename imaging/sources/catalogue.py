"""An index of a folder's DICOM headers in SQLite: what was read once is not read again until it changes.

A file is known by path, size and time of last change; what is new is read (`header_batches`), what is gone
drops out, and a scan that was stopped goes on where it was, as every batch is committed. Patients and UIDs
are kept as pseudonyms under the site's key only; paths, dates, body parts and descriptions are kept as they
are, for the query. The index belongs into the silo's state, mode 0600, and never leaves it. Memory is bounded by
the batches in flight. One scan at a time: the caller holds a lock.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from imaging.errors import ImagingError
from imaging.sources import folder as folders
from imaging.sources import header_batches
from imaging.sources.folder import FoundFile
from imaging.sources.header_batches import Result, batches
from imaging.sources.query import Query, SeriesFacts

SCHEMA = 1
_TABLES = """
CREATE TABLE about (schema INTEGER NOT NULL, folder BLOB NOT NULL, scan INTEGER NOT NULL);
CREATE TABLE files (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, scan INTEGER NOT NULL,
    code TEXT, instance TEXT, series TEXT, study TEXT, patient TEXT,
    sop_class TEXT, modality TEXT, body_part TEXT, study_date TEXT, description TEXT
) WITHOUT ROWID;
CREATE INDEX by_series ON files (patient, study, series, path) WHERE code IS NULL;
CREATE INDEX by_scan ON files (scan);
"""


class Pseudonymiser(Protocol):
    """The part of the site's pseudonyms that an index needs."""

    def patient(self, patient_id: str) -> str:
        """The pseudonym of a PatientID."""

    def uid(self, uid: str) -> str:
        """The UID in place of a UID."""


@dataclass(frozen=True)
class ScanSummary:
    """What a scan found; counts are the hospital's own.

    Attributes:
        files: candidates in the folder.
        read: of them, those that were new or changed.
        removed: known before and gone now.
        rejected: code -> files that cannot be used, old ones included.
    """

    files: int
    read: int
    removed: int
    rejected: dict[str, int]


@dataclass(frozen=True)
class CataloguedSeries:
    """The files of one series of one patient, in the order of their paths.

    Attributes:
        patient, study, series: pseudonyms.
        modality: as the headers say; of the first file.
        paths: below the folder; may name the patient, not for printing.
        instances: pseudonyms of the SOP instances, in the order of `paths`; one that occurs twice is a duplicate.
    """

    patient: str
    study: str
    series: str
    modality: str
    paths: tuple[str, ...] = field(repr=False)
    instances: tuple[str, ...] = field(repr=False)


class Catalogue:
    """The index of one folder, open.

    Args:
        path: the SQLite file; made with mode 0600 where there is none.
        folder: what is indexed; an index of another folder is refused.
        pseudonyms: under the site's key.

    Raises:
        ImagingError: `catalogue.other_folder`, `catalogue.schema`, `catalogue.damaged`.
    """

    def __init__(self, path: Path, folder: Path, pseudonyms: Pseudonymiser) -> None:
        self._folder, self._pseudonyms = folder, pseudonyms
        self._database = _open(path, str(folder.resolve()))

    def __enter__(self) -> "Catalogue":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the index."""
        self._database.close()

    def scan(self, workers: int = 1, on_progress: Callable[[int], None] | None = None) -> ScanSummary:
        """Bring the index up to date with the folder.

        Args:
            workers: processes that read headers; with 1 this process reads them.
            on_progress: called with the number of files seen so far, after each batch.

        Raises:
            ImagingError: what `folder.walk` raises; `catalogue.damaged`, `catalogue.worker`.
        """
        with _named_errors():
            with self._database:
                self._database.execute("UPDATE about SET scan = scan + 1")
            (scan,) = self._database.execute("SELECT scan FROM about").fetchone()
            seen = read = 0
            wanted = ((len(batch), self._fresh(batch, scan)) for batch in batches(folders.walk(self._folder)))
            for found, fresh in header_batches.read(str(self._folder), wanted, workers):
                self._store(scan, fresh)
                seen, read = seen + found, read + len(fresh)
                if on_progress is not None:
                    on_progress(seen)
            with self._database:
                removed = self._database.execute("DELETE FROM files WHERE scan <> ?", (scan,)).rowcount
        return ScanSummary(seen, read, removed, self.rejected())

    def rejected(self) -> dict[str, int]:
        """How many files cannot be used, by code."""
        rows = "SELECT code, count(*) FROM files WHERE code IS NOT NULL GROUP BY code ORDER BY code"
        with _named_errors():
            return dict(self._database.execute(rows))

    def rejected_paths(self) -> Iterator[tuple[str, str]]:
        """(path below the folder, code) of every file that cannot be used; for this hospital's eyes only."""
        rows = "SELECT path, code FROM files WHERE code IS NOT NULL ORDER BY path"
        for path, code in self._database.execute(rows):
            yield os.fsdecode(path), code

    def select(self, query: Query) -> Iterator[CataloguedSeries]:
        """The series that a query means, patient by patient; files of other SOP classes are left out.

        Raises:
            ImagingError: `query.too_many_studies`, `query.too_many_instances`; nothing was yielded then.
        """
        rows = (
            "SELECT patient, study, series, modality, body_part, study_date, description, sop_class, path, instance "
            "FROM files WHERE code IS NULL ORDER BY patient, study, series, path"
        )
        wanted = query.model_copy(
            update={
                "patients": tuple(self._pseudonyms.patient(patient) for patient in query.patients),
                "studies": tuple(self._pseudonyms.uid(study) for study in query.studies),
            }
        )
        with _named_errors():
            self._check_limits(rows, wanted)
            yield from _series(row for row in self._database.execute(rows) if _is_meant(row, wanted))

    def _check_limits(self, rows: str, query: Query) -> None:
        instances, studies, last = 0, 0, None
        for row in self._database.execute(rows):
            if _is_meant(row, query):
                instances, studies, last = instances + 1, studies + (row[:2] != last), row[:2]
        if studies > query.limits.studies:
            raise ImagingError(
                f"the query means {studies} studies and allows {query.limits.studies}; narrow it or raise the limit",
                "query.too_many_studies",
            )
        if instances > query.limits.instances:
            raise ImagingError(
                f"the query means {instances} images and allows {query.limits.instances}; narrow it or raise the limit",
                "query.too_many_instances",
            )

    def _fresh(self, batch: Sequence[FoundFile], scan: int) -> list[FoundFile]:
        """Mark what is known and unchanged as seen; give back the rest."""
        marks = ",".join("?" * len(batch))
        known = {
            path: (size, mtime)
            for path, size, mtime in self._database.execute(
                f"SELECT path, size, mtime_ns FROM files WHERE path IN ({marks})",  # noqa: S608 - question marks only
                [os.fsencode(found.path) for found in batch],
            )
        }
        fresh = [found for found in batch if known.get(os.fsencode(found.path)) != (found.size, found.mtime_ns)]
        changed = {found.path for found in fresh}
        with self._database:
            self._database.executemany(
                "UPDATE files SET scan = ? WHERE path = ?",
                [(scan, os.fsencode(found.path)) for found in batch if found.path not in changed],
            )
        return fresh

    def _store(self, scan: int, fresh: Sequence[tuple[FoundFile, Result]]) -> None:
        values = [self._row(scan, found, result) for found, result in fresh]
        with self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values
            )

    def _row(self, scan: int, found: FoundFile, result: Result) -> tuple[bytes | str | int | None, ...]:
        about = (os.fsencode(found.path), found.size, found.mtime_ns, scan)
        if isinstance(result, str):
            return (*about, result, *(None,) * 9)
        names = self._pseudonyms
        keys = (names.uid(result.instance), names.uid(result.series), names.uid(result.study))
        rest = (result.sop_class, result.modality, result.body_part, result.study_date, result.description)
        return (*about, None, *keys, names.patient(result.patient), *rest)


def _open(path: Path, folder: str) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    with _named_errors():
        database = sqlite3.connect(path)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            with database:
                database.execute("BEGIN IMMEDIATE")
                if not database.execute("SELECT name FROM sqlite_master WHERE name = 'about'").fetchone():
                    for statement in _TABLES.split(";"):
                        database.execute(statement)
                    database.execute("INSERT INTO about VALUES (?, ?, 0)", (SCHEMA, os.fsencode(folder)))
            schema, of = database.execute("SELECT schema, folder FROM about").fetchone() or (None, None)
            if schema != SCHEMA:
                raise ImagingError(
                    "the index was made by another version; remove it, the next scan makes it anew", "catalogue.schema"
                )
            if of != os.fsencode(folder):
                raise ImagingError(
                    "the index is that of another folder; give this one its own", "catalogue.other_folder"
                )
        except BaseException:
            database.close()
            raise
    return database


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except BrokenExecutor:
        raise ImagingError(
            "a process that reads headers ended early; often memory ran out: scan again with fewer workers",
            "catalogue.worker",
        ) from None
    except (UnicodeDecodeError, sqlite3.Error):
        raise ImagingError(
            "the index cannot be read or written: the disk is full, or the file is damaged; "
            "make room or remove it, the next scan makes it anew",
            "catalogue.damaged",
        ) from None


def _is_meant(row: tuple[str, ...], query: Query) -> bool:
    patient, study, _, modality, body_part, study_date, description, sop_class = row[:8]
    facts = SeriesFacts(modality, body_part, study_date, description, patient, study)
    return sop_class in query.class_uids and query.means(facts)


def _series(rows: Iterable[tuple[Any, ...]]) -> Iterator[CataloguedSeries]:
    for (patient, study, series), group in groupby(rows, key=lambda row: row[:3]):
        found = list(group)
        paths, instances = tuple(os.fsdecode(row[8]) for row in found), tuple(row[9] for row in found)
        yield CataloguedSeries(patient, study, series, found[0][3], paths, instances)

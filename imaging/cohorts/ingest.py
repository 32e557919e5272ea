"""From a source of images and a label table to a cohort, or to nothing at all.

Every file is read and stored, or put on the quarantine list with a code; a bad file stops nothing. A bad label table
stops everything before anything is kept. The cohort is built in a folder beside its destination, flushed, and renamed
into place, so that a crash at any instant leaves either a whole cohort or none. One ingest of a cohort at a time: the
caller holds the silo's lock.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from imaging import sealing
from imaging.cohorts.candidate import Candidate, Refused
from imaging.cohorts.index import DIGEST, FORMAT, IMAGES, INDEX, INDEX_PURPOSE, canonical, digest
from imaging.cohorts.intake import Intake, write
from imaging.cohorts.labelling import BINARY, Labelling
from imaging.cohorts.storage import ImageStore
from imaging.deidentification import BASIC, PROFILE, Naming, Profile, edition
from imaging.errors import ImagingError
from imaging.labels import table as tables
from imaging.labels.table import SPLITS, Table


class Source(Protocol):
    """Where images come from: a folder of DICOM files, or a list of files."""

    def candidates(
        self, names: Naming, labelling: Labelling, wanted: Callable[[str], bool], on_progress: Callable[[int], None]
    ) -> Generator[Candidate | Refused, None, None]:
        """See `dicom_source.DicomFolder`."""

    def contains(self, path: Path) -> bool:
        """Whether a path lies inside the source."""


@dataclass(frozen=True)
class IngestSummary:
    """What became of a source; counts are the hospital's own and must not leave it as they are.

    Attributes:
        name: of the cohort.
        digest: of the cohort, hex.
        patients: with at least one image and a label.
        images: stored.
        by_split: split -> patients.
        quarantined: code -> files not used.
        warnings: code -> images that a person should look at.
        unlabelled_images: images left out because they have no label.
        patients_without_images: labelled patients all of whose images were quarantined; left out.
        profile: de-identification profile.
        table_edition: edition of its table.
    """

    name: str
    digest: str
    patients: int
    images: int
    by_split: Mapping[str, int]
    quarantined: Mapping[str, int]
    warnings: Mapping[str, int]
    unlabelled_images: int
    patients_without_images: int
    profile: str
    table_edition: str


def ingest(
    source: Source,
    label_file: Path,
    destination: Path,
    names: Naming,
    key: bytes,
    name: str,
    *,
    labelling: Labelling = BINARY,
    profile: Profile = BASIC,
    on_progress: Callable[[str, int], None] = lambda phase, done: None,
) -> IngestSummary:
    """Make a cohort.

    Args:
        source: of images.
        label_file: CSV, see `imaging.labels.table`.
        destination: the cohort's folder; must not exist, its parent must.
        names: the site's pseudonyms.
        key: the site's secret that cohorts are sealed with, 32 bytes.
        name: of the cohort.
        labelling: what labels are.
        profile: of de-identification: which pixels may pass.
        on_progress: told "headers" or "images" and how many are done, from time to time.

    Raises:
        ImagingError: `labels.*`; `cohort.exists`, `cohort.source`, `cohort.empty`, `cohort.storage`; what the source
            raises. In every case nothing is kept.
    """
    if destination.exists():
        raise ImagingError("a cohort of this name exists already; choose another name", "cohort.exists")
    if source.contains(destination):
        raise ImagingError("the source is not a folder, or the cohort would lie inside it", "cohort.source")
    table = tables.read(label_file, names, labelling.cells)
    partial = destination.with_name(f".{destination.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # what a killed ingest left
        partial.mkdir(mode=0o700)
        (partial / IMAGES).mkdir(mode=0o700)
        intake = Intake(names, labelling, table, profile, ImageStore(partial / IMAGES, key))
        found = source.candidates(
            names, labelling, table.splits.__contains__, lambda done: on_progress("headers", done)
        )
        with closing(found):
            for done, candidate in enumerate(found, start=1):
                intake.take(candidate)
                on_progress("images", done)
        _check(intake, table)
        summary = _finish(intake, table, partial, key, name)
        _flush(partial)
        partial.rename(destination)
        _sync(destination.parent)
    except OSError as error:
        raise ImagingError(
            f"the disk refused to store the cohort ({error.strerror}); nothing was kept, make room and ingest again",
            "cohort.storage",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return summary


def _check(intake: Intake, table: Table) -> None:
    """Refuse labels of nobody, and a cohort of nobody."""
    absent = table.match(intake.seen).rows_without_image
    unused = sum(intake.quarantined.values())
    if absent:
        raise ImagingError(
            f"row {absent[0]} of the label file names a {table.keys[-1]} of whom there is no file "
            f"({len(absent)} such rows, {unused} files not usable); correct the labels or add files",
            "labels.no_such_patient",
        )
    if not intake.patients:
        raise ImagingError(
            f"no labelled patient has a usable image ({unused} files were not usable: "
            f"{', '.join(intake.quarantined) or 'the source is empty'})",
            "cohort.empty",
        )


def _finish(intake: Intake, table: Table, folder: Path, key: bytes, name: str) -> IngestSummary:
    """Write index, digest and quarantine lists."""
    patients = [
        {"key": patient, "split": table.splits[patient], "images": images}
        for patient, images in sorted(intake.patients.items())
    ]
    index = canonical(
        {"format": FORMAT, "name": name, "profile": PROFILE, "table_edition": edition(), "patients": patients}
        | {"kind": intake.labelling.kind, "classes": list(intake.labelling.classes)}
        | {"quarantined": intake.quarantined, "unlabelled_images": intake.unlabelled}
    )
    sealing.write(folder / INDEX, key, INDEX_PURPOSE, index)
    write(folder / DIGEST, digest(index).encode() + b"\n")
    intake.write_quarantine(folder)
    by_split = Counter(table.splits[patient] for patient in intake.patients)
    return IngestSummary(
        name=name,
        digest=digest(index),
        patients=len(patients),
        images=sum(len(images) for images in intake.patients.values()),
        by_split={split: by_split[split] for split in SPLITS},
        quarantined=intake.quarantined,
        warnings=dict(sorted(intake.warnings.items())),
        unlabelled_images=intake.unlabelled,
        patients_without_images=len(table.splits) - len(intake.patients),
        profile=PROFILE,
        table_edition=edition(),
    )


def _flush(folder: Path) -> None:
    """Force every file and folder below to the disk, several at a time so that the disk can join them."""
    paths = [Path(parent) / name for parent, _, names in os.walk(folder) for name in ("", *names)]
    with ThreadPoolExecutor(max_workers=8) as pool:
        for _ in pool.map(_sync, paths):
            pass


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

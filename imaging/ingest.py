"""From a folder of DICOM files and a label file to a cohort, or to nothing at all.

Every file is read, de-identified and stored, or put on the quarantine list with a code; a bad file stops
nothing. A bad label file stops everything before anything is kept. The cohort is built in a folder
beside its destination, flushed, and renamed into place, so that a crash at any instant leaves either
a whole cohort or none. One ingest of a cohort at a time: the caller holds the silo's lock.
"""

import csv
import hashlib
import io
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from imaging import deidentification
from imaging.deidentification import PROFILE, CleanImage, Pseudonyms, clean
from imaging.errors import ImagingError
from imaging.index import DIGEST, FORMAT, IMAGES, INDEX, QUARANTINE, QUARANTINE_PATHS, canonical, digest
from imaging.labels import table as labels
from imaging.labels.table import SPLITS, Label
from imaging.volumes import radiograph
from imaging.volumes.rejection import ImageRejected

NOT_A_FILE = "file.not_regular"
DUPLICATE_INSTANCE = "duplicate.instance"
DUPLICATE_PIXELS = "duplicate.pixels"


@dataclass(frozen=True)
class IngestSummary:
    """What became of a folder; counts are the hospital's own and must not leave it as they are.

    Attributes:
        name: of the cohort.
        digest: of the cohort, hex.
        patients: with at least one image and a label.
        images: stored.
        by_split: split -> patients.
        quarantined: code -> files not used.
        unlabelled_images: sound images left out because their patient has no label.
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
    unlabelled_images: int
    patients_without_images: int
    profile: str
    table_edition: str


def ingest(
    source: Path,
    label_file: Path,
    destination: Path,
    key: bytes,
    name: str,
    on_progress: Callable[[int, int], None] | None = None,
) -> IngestSummary:
    """Make a cohort.

    Args:
        source: folder that is searched for DICOM files; links are not followed.
        label_file: CSV, see `imaging.labels.table`.
        destination: the cohort's folder; must not exist, its parent must.
        key: the site's pseudonym key, 32 bytes.
        name: of the cohort.
        on_progress: called with (files done, files in all), from time to time.

    Raises:
        ImagingError: `labels.*`; `cohort.exists`, `cohort.source`, `cohort.empty`, `cohort.storage`. In
            every case nothing is kept.
    """
    if destination.exists():
        raise ImagingError("a cohort of this name exists already; choose another name", "cohort.exists")
    if not source.is_dir() or destination.resolve().is_relative_to(source.resolve()):
        raise ImagingError("the source is not a folder, or the cohort would lie inside it", "cohort.source")
    pseudonyms = Pseudonyms(key)
    wanted = labels.read(label_file, pseudonyms).by_patient()
    partial = destination.with_name(f".{destination.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # what a killed ingest left
        partial.mkdir(mode=0o700)
        (partial / IMAGES).mkdir(mode=0o700)
        intake = _Intake(source, partial, wanted, pseudonyms)
        intake.walk(label_file, on_progress)
        summary = intake.finish(name)
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


@dataclass
class _Intake:
    """One ingest as it goes: what is stored, what is left out and why."""

    source: Path
    folder: Path
    wanted: Mapping[str, Label]
    pseudonyms: Pseudonyms
    stored: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    quarantine: list[tuple[str, str, str]] = field(default_factory=list)
    rejected_patients: set[str] = field(default_factory=set)
    instances: set[str] = field(default_factory=set)
    hashes: set[str] = field(default_factory=set)
    unlabelled: int = 0

    def walk(self, label_file: Path, on_progress: Callable[[int, int], None] | None) -> None:
        """Take every file below the source, in the order of their paths."""
        paths = sorted(Path(folder) / file for folder, _, names in os.walk(self.source) for file in names)
        for done, path in enumerate(paths, start=1):
            relative = str(path.relative_to(self.source))
            if path.is_symlink() or not path.is_file():
                self._put_aside(relative, NOT_A_FILE)
            elif not path.samefile(label_file):
                self._take(path, relative)
            if on_progress is not None and (done % 50 == 0 or done == len(paths)):
                on_progress(done, len(paths))

    def finish(self, name: str) -> IngestSummary:
        """Check labels against patients, and write the index and the quarantine lists.

        Raises:
            ImagingError: `labels.no_such_patient`, `cohort.empty`.
        """
        without = [label for patient, label in self.wanted.items() if patient not in self.stored]
        absent = [label.row for patient, label in self.wanted.items() if self._is_absent(patient)]
        counts = dict(sorted(Counter(code for _, code, _ in self.quarantine).items()))
        if absent:
            raise ImagingError(
                f"row {min(absent)} of the label file names a patient of whom there is no file "
                f"({len(absent)} such rows, {len(self.quarantine)} files not usable); correct the labels or add files",
                "labels.no_such_patient",
            )
        if not self.stored:
            raise ImagingError(
                f"no labelled patient has a usable image ({len(self.quarantine)} files were not usable: "
                f"{', '.join(counts) or 'the folder is empty'})",
                "cohort.empty",
            )
        patients: list[dict[str, Any]] = [
            {"key": patient, "label": self.wanted[patient].value, "split": self.wanted[patient].split, "images": images}
            for patient, images in sorted(self.stored.items())
        ]
        edition = deidentification.edition()
        index = canonical(
            {"format": FORMAT, "name": name, "profile": PROFILE, "table_edition": edition, "patients": patients}
            | {"quarantined": counts, "unlabelled_images": self.unlabelled}
        )
        _write(self.folder / INDEX, index)
        _write(self.folder / DIGEST, digest(index).encode() + b"\n")
        self._write_quarantine(counts)
        by_split = Counter(patient["split"] for patient in patients)
        return IngestSummary(
            name=name,
            digest=digest(index),
            patients=len(patients),
            images=sum(len(images) for images in self.stored.values()),
            by_split={split: by_split[split] for split in SPLITS},
            quarantined=counts,
            unlabelled_images=self.unlabelled,
            patients_without_images=len(without),
            profile=PROFILE,
            table_edition=edition,
        )

    def _take(self, path: Path, relative: str) -> None:
        patient = None
        try:
            header = radiograph.read(path)
            patient = self.pseudonyms.patient(header.patient)
            if patient not in self.wanted:
                self.unlabelled += 1
                return
            code = self._store(clean(radiograph.decode(header), self.pseudonyms))
        except ImageRejected as error:
            code = error.code
        if code is not None:
            self._put_aside(relative, code)
            if patient is not None:
                self.rejected_patients.add(patient)

    def _store(self, image: CleanImage) -> str | None:
        """Store a clean image; or the code of why not."""
        if image.instance in self.instances:
            return DUPLICATE_INSTANCE
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, image.pixels, allow_pickle=False)
        data = buffer.getvalue()
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 in self.hashes:
            # The same pixels under another patient would make one person two units of privacy.
            return DUPLICATE_PIXELS
        file = f"{sha256[:32]}.npy"
        _write(self.folder / IMAGES / file, data)
        self.instances.add(image.instance)
        self.hashes.add(sha256)
        self.stored.setdefault(image.patient, []).append({"file": file, "sha256": sha256})
        return None

    def _put_aside(self, relative: str, code: str) -> None:
        self.quarantine.append((self.pseudonyms.file(relative), code, relative))

    def _is_absent(self, patient: str) -> bool:
        return patient not in self.stored and patient not in self.rejected_patients

    def _write_quarantine(self, counts: Mapping[str, int]) -> None:
        entries = [{"file": file, "code": code} for file, code, _ in self.quarantine]
        _write(self.folder / QUARANTINE, canonical({"counts": counts, "files": entries}))
        table = io.StringIO(newline="")
        csv.writer(table).writerows([("file", "code", "path"), *self.quarantine])
        _write(self.folder / QUARANTINE_PATHS, table.getvalue().encode("utf-8", "surrogateescape"))


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


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

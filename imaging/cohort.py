"""A cohort: de-identified pixels and labels keyed by pseudonymous patients, with one digest.

`ingest` makes it from DICOM files and labels; nothing changes it afterwards. Layout and digest are in
`imaging.index`. Each image is checked against the index as it is read. The digest beside the index
shows damage, not exchange: who needs to know that this is the cohort that was approved compares
`Cohort.digest` with the one in the ledger.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError
from imaging.index import DIGEST, FORMAT, IMAGES, INDEX, digest
from imaging.ingest import IngestSummary, ingest
from imaging.labels.table import SPLITS

__all__ = ["Cohort", "CohortPatient", "IngestSummary", "StoredImage", "ingest"]


@dataclass(frozen=True)
class StoredImage:
    """Where an image lies and what its bytes must hash to."""

    file: str
    sha256: str


@dataclass(frozen=True)
class CohortPatient:
    """One patient of a cohort: the unit of privacy.

    Attributes:
        key: pseudonym.
        label: 0 or 1.
        stored: its images, at least one.
    """

    key: str
    label: int
    stored: tuple[StoredImage, ...]
    _folder: Path = field(repr=False)

    def images(self) -> tuple[NDArray[np.float32], ...]:
        """All images as float32 (rows, columns), read from disk and checked each time.

        Raises:
            ImagingError: `cohort.damaged`.
        """
        return tuple(self._read(image) for image in self.stored)

    def _read(self, image: StoredImage) -> NDArray[np.float32]:
        try:
            data = (self._folder / IMAGES / image.file).read_bytes()
        except OSError as error:
            raise _damaged("an image of the cohort is missing or cannot be read") from error
        if hashlib.sha256(data).hexdigest() != image.sha256:
            raise _damaged("an image of the cohort was altered")
        array: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
        return array.astype(np.float32)


@dataclass(frozen=True)
class Cohort:
    """An ingested cohort.

    Attributes:
        name: as it was ingested.
        digest: SHA-256 over the index, hex.
        profile: de-identification profile.
        table_edition: edition of its table.
    """

    name: str
    digest: str
    profile: str
    table_edition: str
    _patients: Mapping[str, tuple[CohortPatient, ...]] = field(repr=False)

    @staticmethod
    def open(path: Path) -> "Cohort":
        """Open a cohort folder; images are read later, by `CohortPatient.images`.

        Raises:
            ImagingError: `cohort.missing`, or `cohort.damaged`: the index is not what was written.
        """
        try:
            data = (path / INDEX).read_bytes()
            expected = (path / DIGEST).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ImagingError("there is no such cohort here; ingest it first", "cohort.missing") from error
        if digest(data) != expected:
            raise _damaged("the index of the cohort was altered")
        index = json.loads(data)
        if index["format"] != FORMAT:
            raise ImagingError("the cohort was written by another version; ingest it again", "cohort.format")
        splits: dict[str, list[CohortPatient]] = {split: [] for split in SPLITS}
        for entry in index["patients"]:
            stored = tuple(StoredImage(image["file"], image["sha256"]) for image in entry["images"])
            splits[entry["split"]].append(CohortPatient(entry["key"], entry["label"], stored, path))
        patients = MappingProxyType({split: tuple(members) for split, members in splits.items()})
        return Cohort(index["name"], expected, index["profile"], index["table_edition"], patients)

    def patients(self, split: str) -> tuple[CohortPatient, ...]:
        """The patients of a split (train, val or test), ordered by key.

        Raises:
            RuntimeError: there is no such split.
        """
        if split not in self._patients:
            raise RuntimeError("no such split")
        return self._patients[split]


def _damaged(what: str) -> ImagingError:
    return ImagingError(f"{what}; ingest it again under a new name", "cohort.damaged")

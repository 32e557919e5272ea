"""A cohort, open: patients by split, their labels, and their images one at a time.

`ingest` makes it; nothing changes it afterwards. Each image is checked against the index as it is read. The digest
beside the index shows damage, not exchange: who needs to know that this is the cohort that was approved compares
`Cohort.digest` with the one in the ledger.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging import sealing
from imaging.cohorts.index import DIGEST, FORMAT, IMAGES, INDEX, INDEX_PURPOSE, digest
from imaging.cohorts.storage import CohortImage, ImageStore, Stored
from imaging.errors import ImagingError
from imaging.labels.kinds import Value
from imaging.labels.table import SPLITS


@dataclass(frozen=True)
class StoredImage:
    """An image that lies in the cohort.

    Attributes:
        label: what the table says of it; () where a mask is all that is learned.
        shape: of its array.
        warnings: codes of `imaging.cohorts.quality` and of its mask.
    """

    label: Value
    shape: tuple[int, ...]
    warnings: tuple[str, ...]
    _stored: Stored = field(repr=False)
    _store: ImageStore = field(repr=False)

    @property
    def content(self) -> str:
        """SHA-256 of its bytes in clear, hex."""
        return self._stored.sha256

    def read(self) -> CohortImage:
        """Read it from the disk, checked each time.

        Raises:
            ImagingError: `cohort.damaged`.
        """
        return self._store.read(self._stored)


@dataclass(frozen=True)
class CohortPatient:
    """One patient of a cohort: the unit of privacy.

    Attributes:
        key: pseudonym.
        images: at least one.
    """

    key: str
    images: tuple[StoredImage, ...]

    @property
    def count(self) -> int:
        """Images, at least one."""
        return len(self.images)

    def load(self, image: int) -> tuple[NDArray[Any], NDArray[np.float64] | None, NDArray[Any] | None]:
        """An image's array, its affine and its mask.

        Raises:
            ImagingError: `cohort.damaged`.
        """
        found = self.images[image].read()
        return found.volume.array, found.volume.affine, found.mask

    def label(self, image: int) -> Value:
        """What the table says of an image."""
        return self.images[image].label

    def content(self, image: int) -> str:
        """SHA-256 of an image with its mask and manifest, hex."""
        return self.images[image].content


@dataclass(frozen=True)
class Cohort:
    """An ingested cohort.

    Attributes:
        name: as it was ingested.
        digest: SHA-256 over the index, hex.
        kind: of its labels, as `imaging.tasks` calls them.
        classes: of its labels; of a segmentation without the background.
        profile: de-identification profile.
        table_edition: edition of its table.
        quarantined: code -> files that were not used.
    """

    name: str
    digest: str
    kind: str
    classes: tuple[str, ...]
    profile: str
    table_edition: str
    quarantined: Mapping[str, int]
    _patients: Mapping[str, tuple[CohortPatient, ...]] = field(repr=False)

    @staticmethod
    def open(path: Path, key: bytes) -> "Cohort":
        """Open a cohort folder; images are read later.

        Args:
            path: the folder.
            key: that it was sealed with.

        Raises:
            ImagingError: `cohort.missing`; `cohort.format`: of another version; `cohort.damaged`: the index is not what
                was written, or the key is another.
        """
        try:
            expected = (path / DIGEST).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ImagingError("there is no such cohort here; ingest it first", "cohort.missing") from error
        if not (path / INDEX).exists():
            raise ImagingError("the cohort was written by another version; ingest it again", "cohort.format")
        try:
            data = bytes(sealing.read(path / INDEX, key, INDEX_PURPOSE))
        except ImagingError:
            raise _damaged() from None
        if digest(data) != expected:
            raise _damaged()
        index = json.loads(data)
        if index["format"] != FORMAT:
            raise ImagingError("the cohort was written by another version; ingest it again", "cohort.format")
        store = ImageStore(path / IMAGES, key)
        splits: dict[str, list[CohortPatient]] = {split: [] for split in SPLITS}
        for entry in index["patients"]:
            images = tuple(_image(image, store) for image in entry["images"])
            splits[entry["split"]].append(CohortPatient(entry["key"], images))
        return Cohort(
            name=index["name"],
            digest=expected,
            kind=index["kind"],
            classes=tuple(index["classes"]),
            profile=index["profile"],
            table_edition=index["table_edition"],
            quarantined=MappingProxyType(index["quarantined"]),
            _patients=MappingProxyType({split: tuple(members) for split, members in splits.items()}),
        )

    def patients(self, split: str) -> tuple[CohortPatient, ...]:
        """The patients of a split (train, val or test), ordered by key.

        Raises:
            RuntimeError: there is no such split.
        """
        if split not in self._patients:
            raise RuntimeError("no such split")
        return self._patients[split]


def _image(entry: dict[str, Any], store: ImageStore) -> StoredImage:
    label = tuple(entry["label"]) if isinstance(entry["label"], list) else entry["label"]
    stored = Stored(entry["file"], entry["sha256"])
    return StoredImage(label, tuple(entry["shape"]), tuple(entry["warnings"]), stored, store)


def _damaged() -> ImagingError:
    return ImagingError(
        "the index of the cohort was altered, or its key is another; ingest it again under a new name",
        "cohort.damaged",
    )

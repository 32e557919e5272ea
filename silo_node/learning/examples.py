"""A cohort's patients as training and evaluation read them: one image through the study's transforms at a time.

What was transformed is kept in memory while it fits into a fixed room, and sealed on disk when it does not: a cohort
of volumes may be larger than memory.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imaging.tasks.task import Task
from imaging.transforms.pipeline import Pipeline
from privacy.errors import DataError
from silo_node.imaging_errors import imaging_errors
from silo_node.learning.transformed import Pair, TransformedImages

ROOM: Final = 2**31
"""Bytes of transformed images that are kept of one split."""

Stored: TypeAlias = tuple[NDArray[np.generic], NDArray[np.float64] | None, NDArray[np.generic] | None]
"""An image (rows, columns) or (i, j, k), where its voxels lie, and its mask, if it has one."""


class StoredPatient(Protocol):
    """A patient of a cohort on disk."""

    @property
    def count(self) -> int:
        """Images, at least one."""

    def load(self, image: int) -> Stored:
        """Read one image. Raises ImagingError."""

    def label(self, image: int) -> object:
        """What the label table says of one image."""

    def content(self, image: int) -> str:
        """SHA-256 of one image with its mask, hex."""


class StoredCohort(Protocol):
    """A cohort on disk."""

    def patients(self, split: str) -> Sequence[StoredPatient]:
        """The patients of train, val or test, in a fixed order."""


class Examples:
    """`privacy.dp.patients.Patients` over a split of a cohort; also what evaluation iterates over.

    Raises:
        DataError: an image or label that is read at once, while there is room, does not fit the study.
    """

    def __init__(
        self,
        patients: Sequence[StoredPatient],
        pipeline: Pipeline,
        task: Task,
        disk: TransformedImages,
        room: int = ROOM,
    ) -> None:
        self._patients = patients
        self._pipeline = pipeline
        self._task = task
        self._disk = disk
        self._kept: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        each = 8 * int(np.prod(pipeline.shape))  # float32, and a mask or label
        for number, patient in enumerate(patients):
            for image in range(patient.count):
                if each * len(self._kept) + each > room:
                    return
                self._kept[number, image] = self._read(number, image, keep=True)

    def __len__(self) -> int:
        return len(self._patients)

    def __iter__(self) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
        for number, patient in enumerate(self._patients):
            yield (self.load(number, image) for image in range(patient.count))

    @property
    def counts(self) -> NDArray[np.int64]:
        """Images of each patient, (patients,)."""
        return np.array([patient.count for patient in self._patients], np.int64)

    def load(self, patient: int, image: int) -> tuple[Tensor, Tensor]:
        """An image (1, *spatial) float32 and its target. Raises DataError."""
        return self._kept.get((patient, image)) or self._read(patient, image)

    def _read(self, patient: int, image: int, *, keep: bool = False) -> tuple[Tensor, Tensor]:
        """An image and its target; transformed by way of the disk, unless memory keeps it."""
        stored = self._patients[patient]

        def make() -> Pair:
            array, affine, mask = stored.load(image)
            if not self._task.problem.dense:
                return self._pipeline.pair(array, affine, None)
            if mask is None or mask.dtype != np.uint8:
                raise DataError(
                    "a segmentation needs images with masks whose classes do not overlap; ingest such a cohort",
                    code="tasks.no_mask",
                )
            return self._pipeline.pair(array, affine, mask.astype(np.uint8, copy=False))

        with imaging_errors():
            transformed, mask = make() if keep else self._disk.pair(stored.content(image), make)
            target = stored.label(image) if mask is None else mask
            return torch.from_numpy(transformed), self._task.target(target)

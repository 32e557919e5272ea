"""The patients that training reads: how many images each has, and one image with its target at a time.

`Patients` may read from disk when it is asked, so that a cohort of volumes need not fit into memory.
`PatientData` holds tensors.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privacy.errors import DataError


class Patients(Protocol):
    """The training patients of one cohort, in a fixed order."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """Images of each patient, (patients,), each at least 1."""

    def load(self, patient: int, image: int) -> tuple[Tensor, Tensor]:
        """One image (C, *spatial) float32 with its target, whose shapes are the same for all patients.

        Values are not checked: a patient whose gradient is not finite contributes nothing.
        """


@dataclass(frozen=True)
class PatientData:
    """Patients as tensors in memory, with one target each.

    Attributes:
        images: for each patient its images, (k_i, C, *spatial) float32 with k_i >= 1 and one (C, *spatial).
        targets: (patients, ...), of any type; row i belongs to all images of patient i.

    Raises:
        DataError: shapes or types are not these.
    """

    images: tuple[Tensor, ...]
    targets: Tensor

    def __post_init__(self) -> None:
        shapes = {tuple(image.shape[1:]) for image in self.images}
        if self.targets.ndim == 0 or len(self.targets) != len(self.images):
            raise DataError("every patient needs images and one target", code="data.shape")
        if len(shapes) > 1 or any(image.ndim not in (4, 5) or len(image) == 0 for image in self.images):
            raise DataError("every patient needs at least one image, all of one size", code="data.shape")
        if any(image.dtype != torch.float32 for image in self.images) or self.targets.dtype == torch.float64:
            raise DataError("images and targets must be float32, or targets integers", code="data.shape")

    @property
    def counts(self) -> NDArray[np.int64]:
        """See `Patients.counts`."""
        return np.array([len(images) for images in self.images], np.int64)

    def load(self, patient: int, image: int) -> tuple[Tensor, Tensor]:
        """See `Patients.load`."""
        return self.images[patient][image], self.targets[patient]

"""Segmentation: one of several classes for each voxel; the first class is the background.

Losses are MONAI's, of one patient's own mask at a time: Dice over a batch, or in Opacus' ghost mode, was
measured to break the bound on one patient's influence up to 57-fold.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError
from imaging.networks.allowed import Problem
from imaging.tasks import means
from imaging.tasks.task import Loss, Metrics, Results

if TYPE_CHECKING:
    from torch import Tensor


def _dice_cross_entropy() -> Loss:
    from monai.losses import DiceCELoss

    loss: Loss = DiceCELoss(include_background=False, softmax=True)
    return loss


def _dice() -> Loss:
    from monai.losses import DiceLoss

    loss: Loss = DiceLoss(include_background=False, softmax=True)
    return loss


def _tversky() -> Loss:
    from monai.losses import TverskyLoss

    loss: Loss = TverskyLoss(include_background=False, softmax=True, alpha=0.3, beta=0.7)
    return loss


def _cross_entropy() -> Loss:
    from torch.nn.functional import cross_entropy

    return cross_entropy


LOSSES: Mapping[str, Callable[[], Loss]] = MappingProxyType(
    {"dice-cross-entropy": _dice_cross_entropy, "dice": _dice, "tversky": _tversky, "cross-entropy": _cross_entropy}
)
"""Each maps logits and a one-hot mask, both (n, classes, *spatial). Tversky weighs misses 0.7 and false alarms 0.3."""


@dataclass(frozen=True)
class Segmentation:
    """One logit a class and voxel; a label is a mask of class places, of the image's shape."""

    dimensions: int
    classes: tuple[str, ...]
    name: str

    @property
    def problem(self) -> Problem:
        """See `Task.problem`."""
        return Problem(self.dimensions, outputs=len(self.classes), dense=True)

    @property
    def loss(self) -> Loss:
        """One of `LOSSES`."""
        compare = LOSSES[self.name]()
        return lambda output, targets: compare(output, self._one_hot(targets).to(output.dtype))

    def target(self, label: object) -> "Tensor":
        """The mask as uint8, (*spatial)."""
        import torch

        if not isinstance(label, np.ndarray) or label.dtype != np.uint8 or label.ndim != self.dimensions:
            raise ImagingError("a mask of the cohort is not an array of class numbers", "tasks.label")
        if label.max(initial=0) >= len(self.classes):
            raise ImagingError("a mask of the cohort has a class that the study does not name", "tasks.label")
        return torch.from_numpy(np.ascontiguousarray(label))

    def examples(self, spatial: Sequence[int]) -> tuple["Tensor", ...]:
        """Masks in stripes, one with every class and one with background alone."""
        stripes = np.indices(spatial).sum(0) // 3 % len(self.classes)
        return self.target(stripes.astype(np.uint8)), self.target(np.zeros(spatial, np.uint8))

    def scores(self, output: "Tensor", targets: "Tensor") -> NDArray[np.float64]:
        """Dice of each class but the background, (n, classes - 1); NaN where the mask does not have the class."""
        from monai.metrics import compute_dice

        found: NDArray[np.float64] = (
            compute_dice(self._one_hot(output.argmax(1)), self._one_hot(targets), include_background=False)
            .double()
            .numpy()
        )
        return found

    def fields(self, bins: int) -> int:
        """See `Task.fields`."""
        return means.fields(len(self.classes) - 1)

    def counts(self, results: Results, bins: int) -> NDArray[np.int64]:
        """See `Task.counts`."""
        return means.counts(results.scores, results.losses)

    def summarise(self, total: NDArray[np.int64]) -> Metrics:
        """`dice` (mean over classes) and `dice_<class>`, each the mean over the patients who have the class."""
        each, patients, loss = means.summarise(total, len(self.classes) - 1)
        defined = [dice for dice in each if dice is not None]
        values: dict[str, float | None] = {"dice": sum(defined) / len(defined) if defined else None}
        return Metrics(
            loss, patients, values | {f"dice_{name}": dice for name, dice in zip(self.classes[1:], each, strict=True)}
        )

    def _one_hot(self, targets: "Tensor") -> "Tensor":
        """(n, *spatial) class places to (n, classes, *spatial) bool; a comparison, which vmap maps."""
        import torch

        places = torch.arange(len(self.classes)).view(1, -1, *[1] * self.dimensions)
        return targets[:, None] == places

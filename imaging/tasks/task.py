"""What every kind of task offers to training and evaluation; the kinds are in `kinds`.

A loss sees one patient at a time, which is what makes the clipped gradient of a patient well defined
(a loss that normalises over a batch breaks the sensitivity bound).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from imaging.networks.allowed import Problem

if TYPE_CHECKING:
    from torch import Tensor

Loss: TypeAlias = Callable[["Tensor", "Tensor"], "Tensor"]
"""(output (n, ...), targets (n, ...)) -> scalar mean over n images, float32; runs under `vmap`."""


@dataclass(frozen=True)
class Results:
    """Evaluation of held-out patients, in their order; stays at the silo.

    Attributes:
        scores: mean score over each patient's images, (patients, m) float64; NaN where none is defined.
        losses: mean loss over each patient's images, (patients,) float64.
        targets: that of each patient's first image.
    """

    scores: NDArray[np.float64]
    losses: NDArray[np.float64]
    targets: Sequence["Tensor"]


@dataclass(frozen=True)
class Metrics:
    """What all silos' held-out patients give together.

    Attributes:
        loss: mean over patients of the clipped loss.
        patients: how many.
        values: the task's own metrics by name; None where no patient defines one.
    """

    loss: float
    patients: int
    values: Mapping[str, float | None]


class Task(Protocol):
    """A kind of task with the study's classes and dimensions."""

    @property
    def problem(self) -> Problem:
        """What a network must map to what."""

    @property
    def loss(self) -> Loss:
        """The loss."""

    def target(self, label: object) -> "Tensor":
        """A label (or mask of the image's shape) as training takes it. Raises ImagingError `tasks.label`."""

    def examples(self, spatial: Sequence[int]) -> tuple["Tensor", ...]:
        """Targets of made-up patients with images of a spatial shape."""

    def scores(self, output: "Tensor", targets: "Tensor") -> NDArray[np.float64]:
        """Output (n, ...) and targets (n, ...) to (n, m) scores."""

    def fields(self, bins: int) -> int:
        """How many integers `counts` gives; `bins` is a number of the study."""

    def counts(self, results: Results, bins: int) -> NDArray[np.int64]:
        """One silo's patients as integers in [0, 65535]. Raises ImagingError `metrics.*`."""

    def summarise(self, total: NDArray[np.int64]) -> Metrics:
        """Metrics from the sum of all silos' counts. Raises ImagingError `metrics.*`."""

"""Regression of one number in a public range."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError
from imaging.networks.allowed import Problem
from imaging.tasks import means
from imaging.tasks.task import Loss, Metrics, Results

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Regression:
    """One output; 0 stands for the low end of the range and 1 for the high end.

    An error larger than the range counts as the range, so that sums are bounded.
    """

    dimensions: int
    low: float
    high: float
    name: str

    @property
    def problem(self) -> Problem:
        """See `Task.problem`."""
        return Problem(self.dimensions)

    @property
    def loss(self) -> Loss:
        """`mean-squared-error` or `huber`, in units of the range."""
        from torch.nn.functional import mse_loss, smooth_l1_loss

        chosen = {"mean-squared-error": mse_loss, "huber": smooth_l1_loss}[self.name]
        return lambda output, targets: chosen(output[:, 0], targets)

    def target(self, label: object) -> "Tensor":
        """The number in units of the range, float32, ()."""
        import torch

        if isinstance(label, bool) or not isinstance(label, int | float) or not self.low <= label <= self.high:
            raise ImagingError(
                f"a label of the cohort is not a number from {self.low:g} to {self.high:g}, the range of the study",
                "tasks.label",
            )
        return torch.tensor((label - self.low) / (self.high - self.low))

    def examples(self, spatial: Sequence[int]) -> tuple["Tensor", ...]:
        """See `Task.examples`."""
        return self.target(self.low), self.target(self.high)

    def scores(self, output: "Tensor", targets: "Tensor") -> NDArray[np.float64]:
        """Absolute and squared error in units of the range, each at most 1, (n, 2)."""
        error = np.minimum((output[:, 0] - targets).abs().double().numpy(), 1.0)
        return np.stack((error, error**2), axis=1)

    def fields(self, bins: int) -> int:
        """See `Task.fields`."""
        return means.fields(2)

    def counts(self, results: Results, bins: int) -> NDArray[np.int64]:
        """See `Task.counts`."""
        return means.counts(results.scores, results.losses)

    def summarise(self, total: NDArray[np.int64]) -> Metrics:
        """`mean_absolute_error` and `mean_squared_error`, in the label's own units."""
        (absolute, squared), patients, loss = means.summarise(total, 2)
        width = self.high - self.low
        values = {
            "mean_absolute_error": None if absolute is None else absolute * width,
            "mean_squared_error": None if squared is None else squared * width**2,
        }
        return Metrics(loss, patients, values)

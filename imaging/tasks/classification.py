"""Classification: one of two, one of several, or any of several classes an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError
from imaging.networks.allowed import Problem
from imaging.tasks import ranking
from imaging.tasks.task import Loss, Metrics, Results

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Binary:
    """One logit; the score is its sigmoid, the loss cross-entropy with logits; labels are 0 and 1."""

    dimensions: int

    @property
    def problem(self) -> Problem:
        """See `Task.problem`."""
        return Problem(self.dimensions)

    @property
    def loss(self) -> Loss:
        """See `Task.loss`."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        return lambda output, targets: binary_cross_entropy_with_logits(output[:, 0], targets)

    def target(self, label: object) -> "Tensor":
        """0 or 1 as float32, ()."""
        import torch

        return torch.tensor(float(_index(label, 2)))

    def examples(self, spatial: Sequence[int]) -> tuple["Tensor", ...]:
        """See `Task.examples`."""
        return self.target(0), self.target(1)

    def scores(self, output: "Tensor", targets: "Tensor") -> NDArray[np.float64]:
        """Probabilities, (n, 1)."""
        found: NDArray[np.float64] = output.sigmoid().double().numpy()
        return found

    def fields(self, bins: int) -> int:
        """See `Task.fields`."""
        return ranking.fields(bins)

    def counts(self, results: Results, bins: int) -> NDArray[np.int64]:
        """See `Task.counts`."""
        return ranking.counts(results.scores, _stack(results), results.losses, bins)

    def summarise(self, total: NDArray[np.int64]) -> Metrics:
        """`auc` and `accuracy` (share of patients on the right side of a score of 0.5)."""
        return ranking.summarise(total, (len(total) - ranking.fields(0)) // 2)


@dataclass(frozen=True)
class MultiClass:
    """One logit a class; the scores are their softmax, the loss cross-entropy; a label is the class's place."""

    dimensions: int
    classes: tuple[str, ...]

    @property
    def problem(self) -> Problem:
        """See `Task.problem`."""
        return Problem(self.dimensions, outputs=len(self.classes))

    @property
    def loss(self) -> Loss:
        """See `Task.loss`."""
        from torch.nn.functional import cross_entropy

        return cross_entropy

    def target(self, label: object) -> "Tensor":
        """The place of the class as int64, ()."""
        import torch

        return torch.tensor(_index(label, len(self.classes)))

    def examples(self, spatial: Sequence[int]) -> tuple["Tensor", ...]:
        """See `Task.examples`."""
        return tuple(self.target(index) for index in range(len(self.classes)))

    def scores(self, output: "Tensor", targets: "Tensor") -> NDArray[np.float64]:
        """Probabilities, (n, classes)."""
        found: NDArray[np.float64] = output.double().softmax(1).numpy()
        return found

    def fields(self, bins: int) -> int:
        """See `Task.fields`."""
        return ranking.fields(bins, len(self.classes))

    def counts(self, results: Results, bins: int) -> NDArray[np.int64]:
        """See `Task.counts`."""
        truth = _stack(results).astype(np.int64)
        right = results.scores.argmax(1) == truth
        return ranking.counts(
            np.minimum(results.scores, 1.0), np.eye(len(self.classes))[truth], results.losses, bins, right[:, None]
        )

    def summarise(self, total: NDArray[np.int64]) -> Metrics:
        """`auc` (mean over classes, each against the rest), `auc_<class>`, `accuracy` (of the likeliest class)."""
        labels = len(self.classes)
        return ranking.summarise(total, (len(total) - ranking.fields(0)) // (2 * labels), self.classes)


@dataclass(frozen=True)
class MultiLabel:
    """One logit a class, each on its own; a label is a 0 or 1 for each."""

    dimensions: int
    classes: tuple[str, ...]

    @property
    def problem(self) -> Problem:
        """See `Task.problem`."""
        return Problem(self.dimensions, outputs=len(self.classes))

    @property
    def loss(self) -> Loss:
        """See `Task.loss`."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits

    def target(self, label: object) -> "Tensor":
        """Zeros and ones as float32, (classes,)."""
        import torch

        if not isinstance(label, Sequence) or len(label) != len(self.classes):
            raise _not_a_label(f"{len(self.classes)} values of 0 or 1")
        return torch.tensor([float(_index(item, 2)) for item in label])

    def examples(self, spatial: Sequence[int]) -> tuple["Tensor", ...]:
        """See `Task.examples`."""
        some = [place % 2 for place in range(len(self.classes))]
        return self.target(some), self.target([1] * len(some)), self.target([0] * len(some))

    def scores(self, output: "Tensor", targets: "Tensor") -> NDArray[np.float64]:
        """Probabilities, (n, classes)."""
        found: NDArray[np.float64] = output.sigmoid().double().numpy()
        return found

    def fields(self, bins: int) -> int:
        """See `Task.fields`."""
        return ranking.fields(bins, len(self.classes), len(self.classes))

    def counts(self, results: Results, bins: int) -> NDArray[np.int64]:
        """See `Task.counts`."""
        return ranking.counts(results.scores, _stack(results), results.losses, bins)

    def summarise(self, total: NDArray[np.int64]) -> Metrics:
        """`auc` (mean over classes), `auc_<class>`, `accuracy` (share of right decisions over all classes)."""
        labels = len(self.classes)
        bins = (len(total) - ranking.fields(0, labels, labels)) // (2 * labels)
        return ranking.summarise(total, bins, self.classes, labels)


def _stack(results: Results) -> NDArray[np.floating]:
    values: NDArray[np.floating] = np.array([target.numpy() for target in results.targets])
    return values


def _index(label: object, below: int) -> int:
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < below:
        raise _not_a_label(f"an integer from 0 to {below - 1}")
    return label


def _not_a_label(what: str) -> ImagingError:
    return ImagingError(f"a label of the cohort does not fit the study's task; it must be {what}", "tasks.label")

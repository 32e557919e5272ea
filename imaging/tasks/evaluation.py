"""Evaluation of held-out patients without gradients, an image or a few at a time."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError
from imaging.tasks.task import Results, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

Example: TypeAlias = tuple["Tensor", "Tensor"]
"""One image (C, *spatial) and its target."""

CHUNK = 256
"""Most images a forward pass."""

CHUNK_VALUES = 2**21
"""Most values of images a forward pass, which bounds its memory."""

OVERLAP = 0.5
"""Of neighbouring windows, along each axis."""


def evaluate(
    task: Task,
    network: "nn.Module",
    patients: Iterable[Iterable[Example]],
    window: Sequence[int] | None = None,
) -> Results:
    """Score patients.

    Args:
        task: of the study.
        network: maps (k, C, *spatial) to (k, outputs, ...); left in the mode it was in.
        patients: for each its images with their targets, at least one; each is read once.
        window: public size, one number an axis: the network sees windows of this size, whose results are
            blended with Gaussian weights (`monai.inferers.sliding_window_inference`); None = the whole image.

    Raises:
        ImagingError: `tasks.empty`: there is no patient.
        RuntimeError: a patient has no image.
    """
    import torch

    owners: list[int] = []
    scores: list[NDArray[np.float64]] = []
    losses: list[float] = []
    targets: dict[int, torch.Tensor] = {}
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            for owner, images, wanted in _chunks(patients):
                output = _forward(network, images, window)
                scores.append(task.scores(output, wanted))
                losses += [float(task.loss(row[None], one[None])) for row, one in zip(output, wanted, strict=True)]
                for who, one in zip(owner, wanted, strict=True):
                    targets.setdefault(who, one)
                owners += owner
    finally:
        network.train(was_training)
    if not owners:
        raise ImagingError("there are no held-out patients to evaluate; give some a test or val split", "tasks.empty")
    mean_losses = np.bincount(owners, weights=losses) / np.bincount(owners)
    return Results(_patient_means(np.concatenate(scores), owners), mean_losses, list(targets.values()))


def _forward(network: "nn.Module", images: "Tensor", window: Sequence[int] | None) -> "Tensor":
    if window is None:
        whole: Tensor = network(images)
        return whole
    from monai.inferers import sliding_window_inference

    blended: Tensor = sliding_window_inference(images, window, 1, network, overlap=OVERLAP, mode="gaussian")
    return blended


def _chunks(patients: Iterable[Iterable[Example]]) -> Iterator[tuple[list[int], "Tensor", "Tensor"]]:
    """A few images at a time, with whose they are."""
    import torch

    def stream() -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
        for number, patient in enumerate(patients):
            images = 0
            for image, target in patient:
                images += 1
                yield number, image, target
            if not images:
                raise RuntimeError("every patient needs at least one image")

    examples = stream()
    for first in examples:
        size = max(1, min(CHUNK, CHUNK_VALUES // first[1].numel()))
        owners, images, targets = zip(first, *islice(examples, size - 1), strict=True)
        yield list(owners), torch.stack(images), torch.stack(targets)


def _patient_means(values: NDArray[np.float64], owners: Sequence[int]) -> NDArray[np.float64]:
    """(images, m) to (patients, m): the mean over the images that define a value, NaN where none does."""
    sums = np.zeros((owners[-1] + 1, values.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, owners, np.nan_to_num(values))
    np.add.at(counts, owners, ~np.isnan(values))
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)

"""What a study learns: the loss of one patient, the score of one image, and evaluation of patients.

A loss sees one patient at a time, which is what makes the clipped gradient of a patient well defined
(a loss that normalises over a batch breaks the sensitivity bound). Metrics over patients are `metrics`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError

if TYPE_CHECKING:
    from torch import Tensor, nn

Loss: TypeAlias = Callable[["Tensor", "Tensor"], "Tensor"]

CHUNK = 256
"""Images a forward pass in `evaluate`; bounds its memory."""


@dataclass(frozen=True)
class Task:
    """A kind of task.

    Attributes:
        outputs: logits a network must have.
        labels: values that the label column may hold.
        loss: (logits (1, outputs), target (1,)) -> scalar, float32, differentiable under `vmap`.
        score: logits (k, outputs) -> (k,) in [0, 1].
    """

    outputs: int
    labels: tuple[int, ...]
    loss: Loss
    score: Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True)
class PatientResults:
    """Evaluation of held-out patients, in their order; stays at the silo.

    Attributes:
        scores: mean score over each patient's images, (patients,) float64 in [0, 1].
        losses: mean loss over each patient's images, (patients,) float64.
    """

    scores: NDArray[np.float64]
    losses: NDArray[np.float64]


def _cross_entropy(logits: "Tensor", target: "Tensor") -> "Tensor":
    from torch.nn.functional import binary_cross_entropy_with_logits

    return binary_cross_entropy_with_logits(logits[:, 0], target)


def _probability(logits: "Tensor") -> "Tensor":
    return logits[:, 0].sigmoid()


TASKS: Mapping[str, Task] = MappingProxyType(
    {"binary_classification": Task(outputs=1, labels=(0, 1), loss=_cross_entropy, score=_probability)}
)
"""By the `task.kind` of a study. The binary loss is cross-entropy with logits, the score the sigmoid."""


def get(kind: str) -> Task:
    """The task of a study.

    Raises:
        ImagingError: `tasks.unknown`.
    """
    if kind not in TASKS:
        raise ImagingError(f"task '{kind}' is not known; choose from {', '.join(sorted(TASKS))}", "tasks.unknown")
    return TASKS[kind]


def loss(kind: str) -> Loss:
    """The loss of one patient for a study's task kind.

    Raises:
        ImagingError: `tasks.unknown`.
    """
    return get(kind).loss


def evaluate(
    kind: str, network: "nn.Module", images: Sequence["Tensor"], targets: NDArray[np.float32]
) -> PatientResults:
    """Score patients without gradients.

    Args:
        kind: task kind of the study.
        network: maps (k, C, H, W) to (k, outputs); left in the mode it was in.
        images: one (k_i, C, H, W) float32 tensor a patient, k_i >= 1.
        targets: (patients,) float32.

    Raises:
        ImagingError: `tasks.unknown`, or `tasks.empty`: there is no patient.
        RuntimeError: images and targets do not match.
    """
    import torch

    task = get(kind)
    if len(images) == 0:
        raise ImagingError("there are no held-out patients to evaluate; give some a test or val split", "tasks.empty")
    counts = np.array([len(patient) for patient in images])
    if len(images) != len(targets) or not counts.all():
        raise RuntimeError("every patient needs a target and at least one image")
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            logits = torch.cat([network(chunk) for chunk in torch.split(torch.cat(list(images)), CHUNK)])
            target = torch.from_numpy(np.repeat(np.asarray(targets, dtype=np.float32), counts))
            losses = torch.stack([task.loss(row[None], label[None]) for row, label in zip(logits, target, strict=True)])
            scores = task.score(logits)
    finally:
        network.train(was_training)
    return PatientResults(_patient_means(scores, counts), _patient_means(losses, counts))


def _patient_means(values: "Tensor", counts: NDArray[np.int64]) -> NDArray[np.float64]:
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    means: NDArray[np.float64] = np.add.reduceat(values.double().numpy(), starts) / counts
    return means

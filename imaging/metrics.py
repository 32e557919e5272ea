"""Metrics of held-out patients as counts that can be added over silos under encryption.

A silo turns its patients' scores into non-negative integers below 2^16; the encrypted sum of all
silos' integers is exact, and loss, AUC and accuracy of all patients together follow from it. The
layout is public and fixed by `bins`: 2 x bins histogram counts (label 0, then label 1), correct,
patients, and three limbs of the loss. The counts depend on patients and carry no noise: what may be
released, and how it is reported, is decided elsewhere.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError

LIMIT = 65_535
"""Largest value of a field, and so the most patients of one silo."""

MAX_LOSS = 16.0
"""A patient's loss is clipped to [0, 16]; a score of 1e-7 for a sick patient has loss 16."""

LOSS_UNITS = 1 << 16
"""The loss is summed in units of 2^-16, rounded a patient at a time."""

_LOGIT_RANGE = 8.0
_LIMBS = 3


@dataclass(frozen=True)
class Metrics:
    """What all silos' held-out patients give together.

    Attributes:
        loss: mean over patients of the clipped loss.
        auc: area under the ROC curve, ties counted one half; None without patients of both labels.
        accuracy: share of patients on the right side of a score of 0.5.
        patients: how many.
    """

    loss: float
    auc: float | None
    accuracy: float
    patients: int


def FIELDS(bins: int) -> int:  # noqa: N802 - the constant length of a count vector, given its only parameter
    """How many integers `counts` gives."""
    return 2 * bins + 2 + _LIMBS


def counts(
    scores: NDArray[np.float64], targets: NDArray[np.float32], losses: NDArray[np.float64], bins: int
) -> NDArray[np.int64]:
    """One silo's patients as `FIELDS(bins)` integers in [0, 65535].

    Bins are equally wide in the logit of the score, from -8 to 8, as scores of a trained network
    crowd near 0 and 1.

    Args:
        scores: (patients,) in [0, 1].
        targets: (patients,) of 0 and 1.
        losses: (patients,), not negative.
        bins: score bins a label.

    Raises:
        ImagingError: `metrics.patients`: more than 65,535; `metrics.value`: a score, target or loss
            is out of range or not finite.
    """
    patients = len(scores)
    if patients > LIMIT:
        raise ImagingError(f"more than {LIMIT} held-out patients; use a smaller split", "metrics.patients")
    valid = (scores >= 0) & (scores <= 1) & ((targets == 0) | (targets == 1)) & np.isfinite(losses) & (losses >= 0)
    if not (patients == len(targets) == len(losses) and valid.all()):
        raise ImagingError("the model gave a score or loss that is not a number in its range", "metrics.value")
    positive = targets == 1
    fields = np.zeros(FIELDS(bins), dtype=np.int64)
    np.add.at(fields, _bin(scores, bins) + bins * positive, 1)
    fields[2 * bins] = np.count_nonzero((scores > 0.5) == positive)
    fields[2 * bins + 1] = patients
    total = int(np.rint(np.minimum(losses, MAX_LOSS) * LOSS_UNITS).astype(np.int64).sum())
    for limb in range(_LIMBS):
        fields[2 * bins + 2 + limb] = total >> (16 * limb) & LIMIT
    return fields


def summarise(total: NDArray[np.int64]) -> Metrics:
    """Metrics from the sum of the count vectors of any number of silos.

    Raises:
        ImagingError: `metrics.corrupt`: the counts contradict each other; `metrics.empty`: no patient.
    """
    bins, rest = divmod(len(total) - 2 - _LIMBS, 2)
    if rest or bins < 1 or (total < 0).any():
        raise ImagingError("the sum of the metrics is not a sum of counts", "metrics.corrupt")
    negative, positive = (total[part * bins : (part + 1) * bins].astype(float) for part in (0, 1))
    correct, patients = int(total[2 * bins]), int(total[2 * bins + 1])
    if patients == 0:
        raise ImagingError("no silo has a held-out patient; give some a test or val split", "metrics.empty")
    loss_sum = sum(int(limb) << (16 * place) for place, limb in enumerate(total[2 * bins + 2 :])) / LOSS_UNITS
    if negative.sum() + positive.sum() != patients or correct > patients or loss_sum > MAX_LOSS * patients:
        raise ImagingError("the sum of the metrics contradicts itself", "metrics.corrupt")
    pairs = negative.sum() * positive.sum()
    below = np.cumsum(negative) - negative  # negatives in lower bins
    wins = float((positive * (below + negative / 2)).sum())
    return Metrics(loss_sum / patients, wins / pairs if pairs else None, correct / patients, patients)


def _bin(scores: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    with np.errstate(divide="ignore"):
        logits = np.log(scores) - np.log1p(-scores)
    place = (np.clip(logits, -_LOGIT_RANGE, _LOGIT_RANGE) + _LOGIT_RANGE) / (2 * _LOGIT_RANGE)
    chosen: NDArray[np.int64] = np.minimum((place * bins).astype(np.int64), bins - 1)
    return chosen

"""AUC and accuracy of held-out patients from histograms of their scores, one or more labels at once.

Layout, fixed by `bins` and the number of labels: for each label 2 x bins histogram counts (patients
without it, then with it), the counts of right decisions, patients, and three limbs of the loss. One label
is the plain binary case; with several, each is ranked against the rest.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imaging.tasks import sums
from imaging.tasks.task import Metrics

_LOGIT_RANGE = 8.0


def fields(bins: int, labels: int = 1, decisions: int = 1) -> int:
    """How many integers `counts` gives."""
    return labels * 2 * bins + decisions + 1 + sums.LIMBS


def counts(
    scores: NDArray[np.float64],
    truth: NDArray[np.floating],
    losses: NDArray[np.float64],
    bins: int,
    right: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """One silo's patients as `fields(bins, labels, decisions)` integers in [0, 65535].

    Bins are equally wide in the logit of the score, from -8 to 8, as scores of a trained network
    crowd near 0 and 1.

    Args:
        scores: (patients,) or (patients, labels) in [0, 1].
        truth: 0 or 1, of the same shape.
        losses: (patients,), not negative.
        bins: score bins a label and outcome.
        right: (patients, decisions), whether each decision is right; without it a score above 0.5 decides for
            each label.

    Raises:
        ImagingError: `metrics.patients`: more than 65,535; `metrics.value`: a score, target or loss
            is out of range or not finite.
    """
    scores = scores.reshape(len(scores), -1)
    truth = truth.reshape(len(truth), -1)
    end = sums.patients_and_loss(losses)
    valid = (scores >= 0) & (scores <= 1) & ((truth == 0) | (truth == 1)) if scores.shape == truth.shape else np.False_
    if len(scores) != len(losses) or not valid.all():
        raise sums.out_of_range()
    with_it = truth == 1
    histograms = np.zeros((scores.shape[1], 2, bins), np.int64)
    labels = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    np.add.at(histograms, (labels, with_it.astype(np.int64), _bin(scores, bins)), 1)
    decisions = np.count_nonzero((scores > 0.5) == with_it if right is None else right, axis=0)
    return np.concatenate((histograms.ravel(), decisions, end))


def summarise(total: NDArray[np.int64], bins: int, labels: Sequence[str] = (), decisions: int = 1) -> Metrics:
    """AUC (ties counted one half; None without patients of both kinds) and accuracy (share of right decisions).

    Args:
        total: the sum of the counts of any number of silos.
        bins: as they were made with.
        labels: names, where there are several: each has its own AUC beside their mean.
        decisions: how many a patient.

    Raises:
        ImagingError: `metrics.corrupt`: the counts contradict each other; `metrics.empty`: no patient.
    """
    number = max(1, len(labels))
    patients, loss = sums.read_patients_and_loss(total, fields(bins, number, decisions))
    histograms = total[: number * 2 * bins].reshape(number, 2, bins)
    correct = total[number * 2 * bins : -1 - sums.LIMBS]
    if (histograms.sum((1, 2)) != patients).any() or (correct > patients).any():
        raise sums.contradiction()
    each = [_auc(*pair.astype(float)) for pair in histograms]
    defined = [auc for auc in each if auc is not None]
    values: dict[str, float | None] = {
        "auc": sum(defined) / len(defined) if defined else None,
        "accuracy": float(correct.sum()) / (patients * decisions),
    }
    return Metrics(loss, patients, values | {f"auc_{name}": auc for name, auc in zip(labels, each, strict=False)})


def _auc(without: NDArray[np.float64], with_it: NDArray[np.float64]) -> float | None:
    pairs = without.sum() * with_it.sum()
    below = np.cumsum(without) - without
    return float((with_it * (below + without / 2)).sum()) / pairs if pairs else None


def _bin(scores: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    with np.errstate(divide="ignore"):
        logits = np.log(scores) - np.log1p(-scores)
    place = (np.clip(logits, -_LOGIT_RANGE, _LOGIT_RANGE) + _LOGIT_RANGE) / (2 * _LOGIT_RANGE)
    chosen: NDArray[np.int64] = np.minimum((place * bins).astype(np.int64), bins - 1)
    return chosen

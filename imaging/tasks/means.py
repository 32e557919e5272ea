"""Means over held-out patients of scores in [0, 1]: Dice of each class, or the errors of a regression.

Layout, fixed by the number of scores: for each, how many patients define it and the three limbs of their
sum; then patients, and three limbs of the loss.
"""

import numpy as np
from numpy.typing import NDArray

from imaging.tasks import sums

_EACH = 1 + sums.LIMBS


def fields(scores: int) -> int:
    """How many integers `counts` gives."""
    return scores * _EACH + 1 + sums.LIMBS


def counts(scores: NDArray[np.float64], losses: NDArray[np.float64]) -> NDArray[np.int64]:
    """One silo's patients as `fields(m)` integers in [0, 65535].

    Args:
        scores: (patients, m) in [0, 1]; NaN where a patient does not define one.
        losses: (patients,), not negative.

    Raises:
        ImagingError: `metrics.patients` or `metrics.value`.
    """
    end = sums.patients_and_loss(losses)
    defined = ~np.isnan(scores)
    if len(scores) != len(losses) or not ((scores >= 0) & (scores <= 1) | ~defined).all():
        raise sums.out_of_range()
    columns = [
        np.concatenate(([there.sum()], sums.split(column[there])))
        for column, there in zip(scores.T, defined.T, strict=True)
    ]
    return np.concatenate((*columns, end))


def summarise(total: NDArray[np.int64], scores: int) -> tuple[tuple[float | None, ...], int, float]:
    """Each mean (None where no patient defines it), patients and mean loss.

    Raises:
        ImagingError: `metrics.corrupt`: the counts contradict each other; `metrics.empty`: no patient.
    """
    patients, loss = sums.read_patients_and_loss(total, fields(scores))
    means: list[float | None] = []
    for column in total[: scores * _EACH].reshape(scores, _EACH):
        defined, value = int(column[0]), sums.joined(column[1:])
        if defined > patients or value > defined:
            raise sums.contradiction()
        means.append(value / defined if defined else None)
    return tuple(means), patients, loss

"""Numbers of patients as integers below 2^16 that add up exactly over silos under encryption.

A sum of values in a public range is one fixed-point number, rounded a patient at a time and split into
three limbs of 16 bits. The counts depend on patients and carry no noise: what may be released, and how
it is reported, is decided elsewhere.
"""

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError

LIMIT = 65_535
"""Largest value of a field, and so the most patients of one silo."""

MAX_LOSS = 16.0
"""A patient's loss is clipped to [0, 16]; a score of 1e-7 for a sick patient has loss 16."""

UNITS = 1 << 16
"""Values are summed in units of 2^-16."""

LIMBS = 3
"""Integers of one sum."""


def split(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The sum of values in [0, 16] as limbs, lowest first, (3,)."""
    total = int(np.rint(values * UNITS).astype(np.int64).sum())
    return np.array([total >> (16 * place) & LIMIT for place in range(LIMBS)], np.int64)


def joined(limbs: NDArray[np.int64]) -> float:
    """The sum from the added limbs of any number of silos."""
    return sum(int(limb) << (16 * place) for place, limb in enumerate(limbs)) / UNITS


def patients_and_loss(losses: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many patients, and the limbs of their clipped losses, (4,): the end of every task's counts.

    Raises:
        ImagingError: `metrics.patients`: more than 65,535; `metrics.value`: a loss is negative or not finite.
    """
    if len(losses) > LIMIT:
        raise ImagingError(f"more than {LIMIT} held-out patients; use a smaller split", "metrics.patients")
    if not (np.isfinite(losses) & (losses >= 0)).all():
        raise out_of_range()
    return np.concatenate(([len(losses)], split(np.minimum(losses, MAX_LOSS))))


def read_patients_and_loss(total: NDArray[np.int64], fields: int) -> tuple[int, float]:
    """Patients and mean loss from the end of an added vector of `fields` integers.

    Raises:
        ImagingError: `metrics.corrupt`: the counts contradict each other; `metrics.empty`: no patient.
    """
    if total.shape != (fields,) or (total < 0).any():
        raise ImagingError("the sum of the metrics is not a sum of counts", "metrics.corrupt")
    patients = int(total[-1 - LIMBS])
    if patients == 0:
        raise ImagingError("no silo has a held-out patient; give some a test or val split", "metrics.empty")
    loss = joined(total[-LIMBS:])
    if loss > MAX_LOSS * patients:
        raise contradiction()
    return patients, loss / patients


def out_of_range() -> ImagingError:
    """A score or loss is none."""
    return ImagingError("the model gave a score or loss that is not a number in its range", "metrics.value")


def contradiction() -> ImagingError:
    """Counts that no patients can have."""
    return ImagingError("the sum of the metrics contradicts itself", "metrics.corrupt")

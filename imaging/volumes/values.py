"""From stored to meaningful values: modality rescale and LUT, inversion, luminance.

Applied is the modality transformation (PS3.3 C.11.1), of each file or frame by itself, and the inversion that a
projection's photometric interpretation or presentation LUT shape asks for (C.7.6.3.1.2, C.11.6). Never applied
are windows (VOI LUT), which choose what a person sees, and real-world value maps, of which a file may hold
several: nobody here could choose. Volumes are never inverted: HU are HU however they are shown.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut

from imaging.volumes.headers import text
from imaging.volumes.rejection import ImageRejected, Rejection

_LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue (ITU-R BT.601), as in JPEG's Y."""


@dataclass(frozen=True)
class Rescale:
    """The modality transformation of one frame.

    Attributes:
        slope: of the line, finite and not zero.
        intercept: of the line, finite.
        table: dataset with the modality LUT in place of the line, or None.
    """

    slope: float = 1.0
    intercept: float = 0.0
    table: Dataset | None = field(default=None, repr=False, compare=False)

    @staticmethod
    def of(dataset: Dataset) -> "Rescale":
        """The transformation that a dataset, or the item of a functional group, holds.

        Raises:
            ImageRejected: MALFORMED: slope and intercept are no such numbers.
        """
        if "ModalityLUTSequence" in dataset:
            return Rescale(table=dataset)
        slope, intercept = (dataset.get(keyword) for keyword in ("RescaleSlope", "RescaleIntercept"))
        line = Rescale(1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept))
        if not (np.isfinite(line.slope) and np.isfinite(line.intercept) and line.slope):
            raise ImageRejected(Rejection.MALFORMED)
        return line

    def apply(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Values of the modality, computed in double and stored in single precision.

        Raises:
            ImageRejected: MALFORMED: a value leaves the range of single precision.
        """
        if self.table is not None:
            values = np.ascontiguousarray(apply_modality_lut(stored, self.table), dtype=np.float32)
        else:
            with np.errstate(over="ignore"):
                values = (stored.astype(np.float64) * self.slope + self.intercept).astype(np.float32)
        if not np.isfinite(values).all():
            raise ImageRejected(Rejection.MALFORMED)
        return values


def describe(rescales: Iterable[Rescale]) -> str:
    """What a manifest says of the transformations of all frames."""
    found = list(rescales)
    if any(one.table is not None for one in found):
        return "table"
    if all(one == Rescale() for one in found):
        return "none"
    return "linear" if all(one == found[0] for one in found) else "linear by slice"


def value_type(rescales: Iterable[Rescale], bits: int, *, signed: bool) -> type[np.int16] | type[np.float32]:
    """int16 where it holds every value that can occur (CT: half the memory), otherwise float32."""
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    for one in rescales:
        if one.table is not None or not (one.slope.is_integer() and one.intercept.is_integer()):
            return np.float32
        ends = (low * one.slope + one.intercept, high * one.slope + one.intercept)
        if min(ends) < -(2**15) or max(ends) >= 2**15:
            return np.float32
    return np.int16


def is_inverse(dataset: Dataset) -> bool:
    """Whether larger stored values of a projection mean darker; MONOCHROME1 with INVERSE says so once, not twice."""
    monochrome1 = text(dataset, "PhotometricInterpretation") == "MONOCHROME1"
    return monochrome1 or text(dataset, "PresentationLUTShape") == "INVERSE"


def inverted(stored: NDArray[Any], bits: int) -> NDArray[Any]:
    """Stored values of so many bits, mirrored within their range."""
    if stored.dtype.kind == "i":
        return ~stored
    mirrored: NDArray[Any] = np.bitwise_xor(stored, stored.dtype.type((1 << bits) - 1))
    return mirrored


def luminance(rgb: NDArray[Any]) -> NDArray[np.float32]:
    """(rows, columns) brightness of (rows, columns, 3) colours, in their range."""
    weighed: NDArray[np.float32] = (rgb.astype(np.float64) @ _LUMA).astype(np.float32)
    return weighed

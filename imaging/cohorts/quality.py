"""What a person should look at in an image that can be used: codes, found in the image alone.

Nothing here rejects and nothing is compared with other patients; what cannot be right at all was rejected before
(`imaging.volumes`: gaps, values that are no numbers, a constant image). Codes and counts stay on site.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from imaging.deidentification import series
from imaging.labels import mask
from imaging.volumes.manifest import Manifest
from imaging.volumes.volume import Volume

CLIPPED: Final = "quality.clipped"
HU_RANGE: Final = "quality.hu_range"
UNIT: Final = "quality.unit"
FEW_VALUES: Final = "quality.few_values"
CONSTANT_SLICE: Final = "quality.constant_slice"
REPEATED_SLICE: Final = "quality.repeated_slice"
INVERTED: Final = "quality.inverted"
LOSSY: Final = "quality.lossy"
FEW_SLICES: Final = "quality.few_slices"
COARSE: Final = "quality.coarse"
NO_SPACING: Final = "quality.no_spacing"
SPACING: Final = "quality.spacing"
FIELD_OF_VIEW: Final = "quality.field_of_view"
NO_ORIENTATION: Final = "quality.no_orientation"
OBLIQUE: Final = "quality.oblique"

LEAST_SLICES: Final = 5
LEAST_VALUES: Final = 16
MOST_ANISOTROPY: Final = 10.0
VOXEL: Final = (0.01, 20.0)
"""Millimetres along an axis that a voxel may well have."""
FIELD: Final = (10.0, 2500.0)
"""Millimetres along an axis that an image may well have."""
MOST_TURNED: Final = 20.0
"""Degrees between an axis of the array and the nearest one of the patient."""
_LOW_SHARE = 0.5
_HIGH_SHARE = 0.1
_AIR = (-1100.0, -900.0)
_TISSUE = 100.0
_PROBE = 65_536
_PROBE_SIDE = 32

SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        CLIPPED: "more than half of all voxels have the lowest value, or a tenth the highest: cut by a window?",
        HU_RANGE: "no voxel of this CT is air (-1000 +- 100 HU), or none is above 100 HU: is the rescale right?",
        UNIT: "the values of this CT are said not to be Hounsfield units",
        FEW_VALUES: f"the image has fewer than {LEAST_VALUES} different values: is it a mask, or a drawing?",
        CONSTANT_SLICE: "a slice inside the volume has one value everywhere",
        REPEATED_SLICE: "two slices that lie beside each other are the same: one may have replaced another",
        INVERTED: "the image was turned so that larger is brighter, as its header asks: does it look right?",
        LOSSY: "the source was compressed with loss at some time",
        FEW_SLICES: f"the volume has fewer than {LEAST_SLICES} slices along an axis",
        COARSE: f"voxels are more than {MOST_ANISOTROPY:g} times as long as wide",
        NO_SPACING: "the size of a voxel is not known",
        SPACING: f"a voxel is smaller than {VOXEL[0]:g} mm or larger than {VOXEL[1]:g} mm: are these millimetres?",
        FIELD_OF_VIEW: f"the image is under {FIELD[0]:g} mm or over {FIELD[1]:g} mm long: are these millimetres?",
        NO_ORIENTATION: "the volume does not say how it lies in the patient",
        OBLIQUE: f"an axis is over {MOST_TURNED:g} degrees off the patient's; transforms turn by right angles alone",
        mask.EMPTY: "the mask has no voxel",
        mask.CLASS_EMPTY: "the mask lacks one of the classes",
        mask.GAP: "the mask leaves out slices between those that it is drawn on",
        series.FACE: "a scan of the head may show a face; nothing was masked",
        series.BLANKED: "a part of the image where the device writes text was blanked",
        series.UNJUDGED: "no header says that no text is burned into the image; whoever listed it says so",
    }
)
"""Every code that an image of a cohort may have, with what it means; the last ones are found elsewhere."""


def check(volume: Volume) -> tuple[str, ...]:
    """The codes that hold for an image, sorted."""
    array, manifest, affine = volume.array, volume.manifest, volume.affine
    # No check of values asks which axis is which: memory is read in its own order, which is ten times as fast.
    values = array.T if array.flags.f_contiguous else array
    low, high = values.min(), values.max()
    shares = np.count_nonzero(values == low) / values.size, np.count_nonzero(values == high) / values.size
    spacing = manifest.spacing
    solid = array.ndim == 3
    found = {
        CLIPPED: shares[0] > _LOW_SHARE or shares[1] > _HIGH_SHARE,
        HU_RANGE: solid and manifest.modality == "CT" and (not _has_air(values) or high <= _TISSUE),
        UNIT: manifest.modality == "CT" and manifest.unit not in ("HU", "US", None),
        FEW_VALUES: _has_few_values(values),
        INVERTED: manifest.photometric == "inverted",
        LOSSY: manifest.lossy,
        FEW_SLICES: solid and min(array.shape) < LEAST_SLICES,
        COARSE: spacing is not None and max(spacing) > MOST_ANISOTROPY * min(spacing),
        NO_SPACING: spacing is None and solid,
        SPACING: spacing is not None and not VOXEL[0] <= min(spacing) <= max(spacing) <= VOXEL[1],
        FIELD_OF_VIEW: not _is_of_a_patients_size(array.shape, manifest),
        NO_ORIENTATION: solid and affine is None,
        OBLIQUE: solid and affine is not None and _turned(affine) > MOST_TURNED,
        **(_slices(values) if solid else {}),
    }
    return tuple(sorted(code for code, holds in found.items() if holds))


def _has_air(array: NDArray[Any]) -> bool:
    return any(bool(((part >= _AIR[0]) & (part <= _AIR[1])).any()) for part in array)


def _has_few_values(array: NDArray[Any]) -> bool:
    """Looks at all voxels only where some of them leave it open."""
    step = max(1, array.size // _PROBE)
    return all(len(np.unique(part)) < LEAST_VALUES for part in (array.reshape(-1)[::step], array))


def _is_of_a_patients_size(shape: tuple[int, ...], manifest: Manifest) -> bool:
    sides = [count * step for count, step in zip(shape, manifest.spacing or (), strict=False)]
    return not sides or FIELD[0] <= min(sides) <= max(sides) <= FIELD[1]


def _turned(affine: NDArray[np.float64]) -> float:
    """Degrees of the axis that is furthest from its nearest axis of the patient."""
    directions = np.abs(affine[:3, :3]) / np.linalg.norm(affine[:3, :3], axis=0)
    return float(np.degrees(np.arccos(np.clip(directions.max(axis=0).min(), 0, 1))))


def _slices(array: NDArray[Any]) -> Mapping[str, bool]:
    """Constant slices between others, and slices that repeat their neighbour; along each axis.

    A few pixels of each slice clear most of them; only what they leave open is looked at whole.
    """
    constant = repeated = False
    for axis in range(3):
        planes = np.moveaxis(array, axis, 0)
        probe = planes[:, :: max(1, planes.shape[1] // _PROBE_SIDE), :: max(1, planes.shape[2] // _PROBE_SIDE)]
        flat = probe.min(axis=(1, 2)) == probe.max(axis=(1, 2))
        for place in np.flatnonzero(flat):
            flat[place] = planes[place].min() == planes[place].max()
        varied = np.flatnonzero(~flat)
        constant |= bool(varied.size) and bool(flat[varied[0] : varied[-1]].any())
        alike = (probe[1:] == probe[:-1]).all(axis=(1, 2)) & ~flat[1:]
        repeated |= any(np.array_equal(planes[place], planes[place + 1]) for place in np.flatnonzero(alike))
    return {CONSTANT_SLICE: constant, REPEATED_SLICE: repeated}

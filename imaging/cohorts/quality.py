"""What a person should look at in an image that can be used: codes, found in the image alone.

Nothing here rejects and nothing is compared with other patients; what cannot be right at all was rejected before
(`imaging.volumes`). Codes and counts stay on site.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from imaging.volumes.manifest import Manifest

CLIPPED: Final = "quality.clipped"
"""More than half of all voxels have the lowest value, or more than a tenth the highest: cut by a window or detector."""
HU_RANGE: Final = "quality.hu_range"
"""A CT whose lowest values are not those of air (-1000 +- 100 HU, or padding below): a rescale may be missing."""
FEW_SLICES: Final = "quality.few_slices"
"""A volume with fewer than `LEAST_SLICES` along an axis."""
COARSE: Final = "quality.coarse"
"""Voxels that are more than `MOST_ANISOTROPY` times as long as wide."""
LOSSY: Final = "quality.lossy"
"""The source was compressed with loss at some time."""
NO_SPACING: Final = "quality.no_spacing"
"""The size of a voxel is not known."""

LEAST_SLICES: Final = 5
MOST_ANISOTROPY: Final = 10.0
_LOW_SHARE = 0.5
_HIGH_SHARE = 0.1
_AIR = (-1100.0, -900.0)


def check(array: NDArray[Any], manifest: Manifest) -> tuple[str, ...]:
    """The codes that hold for an image, sorted."""
    low, high = array.min(), array.max()
    shares = np.count_nonzero(array == low) / array.size, np.count_nonzero(array == high) / array.size
    air_missing = manifest.modality == "CT" and array.ndim == 3 and low > _AIR[1]
    spacing = manifest.spacing
    found = {
        CLIPPED: shares[0] > _LOW_SHARE or shares[1] > _HIGH_SHARE,
        HU_RANGE: air_missing,
        FEW_SLICES: array.ndim == 3 and min(array.shape) < LEAST_SLICES,
        COARSE: spacing is not None and max(spacing) > MOST_ANISOTROPY * min(spacing),
        LOSSY: manifest.lossy,
        NO_SPACING: spacing is None and array.ndim == 3,
    }
    return tuple(sorted(code for code, holds in found.items() if holds))

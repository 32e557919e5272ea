"""Where the voxels of a stack of planes lie, or why nobody can say.

highdicom decides (`highdicom.spatial.get_volume_positions` and `VolumeGeometry`, on which its `get_volume` and
`get_volume_from_series` rest): it refuses what other readers guess. Here its refusal gets a name, and
two of its tolerances get narrower: 2.5 degrees of tilt, and gaps that are each within 1 % but add up, pass it;
here no voxel centre may be further from where the affine puts it than a quarter of the smallest voxel edge.

highdicom's affine maps (slice, row, column) to LPS+. Ours maps (column, row, slice) to RAS+, with slices in the
other direction, so that the axes stay right-handed in the patient (see `volume`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import highdicom
import numpy as np
from highdicom.spatial import get_normal_vector, get_volume_positions
from numpy.typing import NDArray

from imaging.volumes.planes import Plane
from imaging.volumes.rejection import ImageRejected, Rejection

RELATIVE_TOLERANCE = 0.01
ABSOLUTE_TOLERANCE = 0.01
"""Distances between slices may differ from their mean by 1 % or by 0.01 mm, whichever is more."""

DEPARTURE = 0.25
"""How far a slice may lie from where the affine puts it, in edges of the smallest side of a voxel."""

_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Placement:
    """How planes make a volume.

    Attributes:
        order: index of the plane that lies at each slice index.
        affine: (4, 4), (column, row, slice) index to RAS+ millimetres; for a single plane (row, column, 0).
        spacing: millimetres along the axes of the array: (column, row, slice), or (row, column).
    """

    order: tuple[int, ...]
    affine: NDArray[np.float64]
    spacing: tuple[float, ...]


def place(planes: Sequence[Plane], rows: int, columns: int) -> Placement:
    """Place planes of one orientation and pixel spacing.

    Args:
        planes: in any order, at least one.
        rows: of each plane.
        columns: of each plane.

    Raises:
        ImageRejected: TILT, SHIFTED, MISSING_SLICE, IRREGULAR_SPACING or AMBIGUOUS (two at one position).
    """
    positions = np.array([plane.position for plane in planes])
    first = planes[0]
    spacing, indices = 1.0, [0]
    if len(planes) > 1:
        along = positions @ get_normal_vector(first.orientation)
        mean = float(np.ptp(along)) / (len(planes) - 1)
        tolerance = max(ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE * mean)
        spacing, indices = get_volume_positions(positions, first.orientation, atol=tolerance)
        if spacing is None:
            raise ImageRejected(_reason(positions, first))
    order = tuple(int(index) for index in np.argsort(indices)[::-1])
    geometry = highdicom.VolumeGeometry.from_attributes(
        image_position=positions[order[-1]],
        image_orientation=first.orientation,
        rows=rows,
        columns=columns,
        pixel_spacing=first.spacing,
        spacing_between_slices=spacing,
        number_of_frames=len(planes),
        coordinate_system="PATIENT",
    )
    lps = geometry.flip_spatial(0).affine
    expected = lps[:3, 3] + np.arange(len(planes))[:, None] * lps[:3, 0]
    if np.linalg.norm(positions[list(order)] - expected, axis=1).max() > DEPARTURE * min(spacing, *first.spacing):
        raise ImageRejected(_reason(positions, first))
    down, across = first.spacing
    if len(planes) == 1:
        # No slice follows, so that nothing says how far it would be: a unit normal, for the index 0 alone.
        return Placement(order, _TO_RAS @ lps[:, [1, 2, 0, 3]], (down, across))
    return Placement(order, _TO_RAS @ lps[:, [2, 1, 0, 3]], (across, down, float(spacing)))


def _reason(positions: NDArray[np.float64], plane: Plane) -> Rejection:
    """Why planes are no regular stack.

    Tilt is the angle between the way from the first to the last plane and the normal, whatever the header says
    (GantryDetectorTilt is often absent or rounded).
    """
    normal = np.asarray(get_normal_vector(plane.orientation))
    along = positions @ normal
    order = np.argsort(along)
    along, aside = along[order], (positions - np.outer(positions @ normal, normal))[order]
    aside = aside - aside[0]
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    allowed = DEPARTURE * min(usual, *plane.spacing)
    if gaps.min() < ABSOLUTE_TOLERANCE:
        return Rejection.AMBIGUOUS
    if np.linalg.norm(aside, axis=1).max() > allowed:
        straight = np.outer((along - along[0]) / (along[-1] - along[0]), aside[-1])
        shifted = np.linalg.norm(aside - straight, axis=1).max() > allowed
        return Rejection.SHIFTED if shifted else Rejection.TILT
    tolerance = max(ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE * usual)
    whole = np.round(gaps / usual)
    if whole.max() > 1 and (np.abs(gaps - whole * usual) <= tolerance * np.maximum(whole, 1)).all():
        return Rejection.MISSING_SLICE
    return Rejection.IRREGULAR_SPACING

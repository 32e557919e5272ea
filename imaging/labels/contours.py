"""RTSTRUCT: the voxels within outlines that people drew (PS3.3 C.8.8.6).

A contour belongs to the slice in whose plane it lies, whatever instance it names. In that plane a voxel is inside if
its centre is, by the even-odd rule over all contours of the region of interest there: contours within contours are
holes, and a keyhole's two edges, drawn there and back, cancel. A centre exactly on an edge belongs to the area on the
side of greater index, so that areas that share an edge share no voxel and leave none out. Nothing is filled in between
slices and nothing drawn is cut off.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import RTStructureSetStorage

from imaging.errors import ImagingError
from imaging.labels import opening
from imaging.labels.mask import GAP, LPS, TOLERANCE, Canvas, Grid, Mask
from imaging.labels.selection import ClassRule, Code, Outline, assign

MAX_CONTOURS = 100_000
MAX_POINTS = 20_000_000
_CLOSED = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"})
_DIGITS = 6
"""Voxel coordinates are rounded to a millionth, so that a point drawn on a centre is on it."""


def read(path: Path, rules: Sequence[ClassRule], grid: Grid) -> Mask:
    """The mask of a structure set on an image's grid.

    Args:
        path: RTSTRUCT file.
        rules: the study's classes.
        grid: of the image; its last axis is the one across the planes of contours.

    Raises:
        ImagingError: `label_file.*`, `mask.*`, or `contour.type`, `contour.points`, `contour.plane`,
            `contour.outside`, `contour.too_many`.
    """
    dataset = opening.read(path, frozenset({RTStructureSetStorage}))
    with opening.reading():
        regions = list(dataset.get("StructureSetROISequence") or ())
        chosen = assign(rules, _outlines(dataset, regions))
        for region in regions:
            if int(region.ROINumber) in chosen:
                grid.check_frame_of_reference(region.get("ReferencedFrameOfReferenceUID"))
        canvas = Canvas(grid, [rule.name for rule in rules])
        for number, contours in _contours(dataset, frozenset(chosen)):
            planes = defaultdict(list)
            for points in contours:
                plane, polygon = flatten(points, grid)
                planes[plane].append(polygon)
            for plane, polygons in planes.items():
                canvas.paint(chosen[number], (slice(None), slice(None), plane), fill(polygons, grid.shape[:2]))
            if planes and max(planes) - min(planes) + 1 != len(planes):
                canvas.warn(GAP)
    return canvas.finish()


def flatten(points: NDArray[np.float64], grid: Grid) -> tuple[int, NDArray[np.float64]]:
    """A contour as the index of its plane and a polygon in voxel coordinates of the first two axes.

    Args:
        points: (n, 3), LPS+ millimetres, as DICOM has them.
        grid: of the image.

    Raises:
        ImagingError: `contour.plane`: it lies in no plane of the image; `contour.outside`.
    """
    voxels = np.round(grid.voxels(points @ LPS[:3, :3]), _DIGITS)
    heights = voxels[:, 2]
    plane = int(np.round(heights.mean()))
    if np.abs(heights - plane).max() > TOLERANCE:
        raise ImagingError(
            "a contour does not lie in a plane of the image; use the contours of this series", "contour.plane"
        )
    limits = np.array([[-0.5, -0.5], [grid.shape[0] - 0.5, grid.shape[1] - 0.5]])
    if not 0 <= plane < grid.shape[2] or (voxels[:, :2] < limits[0]).any() or (voxels[:, :2] > limits[1]).any():
        raise ImagingError("a contour lies outside the image; use the contours of this series", "contour.outside")
    return plane, voxels[:, :2]


def fill(polygons: Sequence[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The voxels whose centres lie within an odd number of polygons.

    A column's centres are crossed by the edges that span it (from one end's height on, below the other's); a voxel is
    inside if the edges before or at its centre are odd in number.

    Args:
        polygons: (n, 2) each, voxel coordinates; closed by themselves.
        shape: of the result.
    """
    starts = np.concatenate(list(polygons))
    ends = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons])
    # The lower end first: an edge that is drawn twice, there and back, crosses at the very same numbers.
    swap = starts[:, 0] > ends[:, 0]
    starts[swap], ends[swap] = ends[swap], starts[swap]
    first = np.clip(np.ceil(starts[:, 0]), 0, shape[0]).astype(np.int64)
    last = np.clip(np.ceil(ends[:, 0]), 0, shape[0]).astype(np.int64)
    spans = np.maximum(last - first, 0)
    edge = np.repeat(np.arange(len(spans)), spans)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(spans) - spans, spans) + first[edge]
    share = (row - starts[edge, 0]) / (ends[edge, 0] - starts[edge, 0])
    crossing = np.round(starts[edge, 1] + share * (ends[edge, 1] - starts[edge, 1]), _DIGITS)
    toggles = np.zeros((shape[0], shape[1] + 1), dtype=np.uint8)
    np.add.at(toggles, (row, np.clip(np.ceil(crossing), 0, shape[1]).astype(np.int64)), 1)
    inside: NDArray[np.bool_] = (np.cumsum(toggles, axis=1, dtype=np.uint8)[:, :-1] & 1).astype(np.bool_)
    return inside


def _outlines(dataset: Dataset, regions: Sequence[Dataset]) -> list[Outline]:
    codes = defaultdict(list)
    for observation in dataset.get("RTROIObservationsSequence") or ():
        for item in observation.get("RTROIIdentificationCodeSequence") or ():
            codes[int(observation.ReferencedROINumber)].append(
                Code(str(item.CodeValue), str(item.CodingSchemeDesignator))
            )
    return [
        Outline(int(region.ROINumber), str(region.get("ROIName", "")), tuple(codes[int(region.ROINumber)]))
        for region in regions
    ]


def _contours(dataset: Dataset, numbers: frozenset[int]) -> Iterable[tuple[int, list[NDArray[np.float64]]]]:
    total = points = 0
    for item in dataset.get("ROIContourSequence") or ():
        number = int(item.ReferencedROINumber)
        if number not in numbers:
            continue
        contours = []
        for contour in item.get("ContourSequence") or ():
            if contour.ContourGeometricType not in _CLOSED:
                raise ImagingError("a contour of the study's classes is not closed and planar", "contour.type")
            values = np.array(contour.ContourData, dtype=np.float64)
            if values.ndim != 1 or values.size < 9 or values.size % 3 or not np.isfinite(values).all():
                raise ImagingError("a contour has fewer than three points, or not three numbers each", "contour.points")
            total, points = total + 1, points + values.size // 3
            if total > MAX_CONTOURS or points > MAX_POINTS:
                raise ImagingError("the structure set has too many contours or points", "contour.too_many")
            contours.append(values.reshape(-1, 3))
        yield number, contours

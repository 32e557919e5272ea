"""Masks on the grid of their image: where they may be placed, and what came out.

A mask drawn on another grid is placed only if that moves whole voxels: axes exchanged or reversed, rows cut or
added. Nothing is resampled, nothing drawn is cut off and no geometry is guessed; what does not fit is refused by
name. World coordinates are RAS+ millimetres, as nibabel has them.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError
from imaging.volumes.volume import SourceVolume

TOLERANCE = 0.1
"""How far, in voxels, a point of a mask may lie from where the grid has it: rounding in headers, nothing more."""

MAX_BYTES = 2**32
"""Most memory for the layers of classes that overlap."""

EMPTY = "mask.empty"
CLASS_EMPTY = "mask.class_empty"
GAP = "mask.gap"
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's patient coordinates to RAS+, and back."""


@dataclass(frozen=True)
class Grid:
    """The geometry of an image that masks are drawn on.

    Attributes:
        shape: of the array, three axes; the last is the one along which slices were taken.
        affine: (4, 4), voxel index to RAS+ millimetres.
        frame_of_reference: FrameOfReferenceUID, None where it is not known.

    Raises:
        ImagingError: `mask.geometry`: the affine is not one of a volume.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64] = field(repr=False)
    frame_of_reference: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.affine.shape != (4, 4) or not np.isfinite(self.affine).all():
            raise ImagingError("the image has no geometry in space, so that no mask can be placed", "mask.geometry")
        if abs(np.linalg.det(self.affine[:3, :3])) < 1e-9:
            raise ImagingError("the image's geometry has no volume, so that no mask can be placed", "mask.geometry")

    @staticmethod
    def of(image: SourceVolume) -> "Grid":
        """The grid of a volume; of an image in a frame of reference, with a third axis of length 1.

        Raises:
            ImagingError: `mask.geometry`: it has none.
        """
        shape = (*image.volume.array.shape, 1)[:3]
        affine = np.zeros((4, 4)) if image.volume.affine is None else image.volume.affine
        return Grid((shape[0], shape[1], shape[2]), affine, image.frame_of_reference)

    def voxels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """World points (n, 3) as voxel coordinates (n, 3); a voxel's centre has whole numbers."""
        inverse = np.linalg.inv(self.affine)
        found: NDArray[np.float64] = points @ inverse[:3, :3].T + inverse[:3, 3]
        return found

    def check_frame_of_reference(self, uid: str | None) -> None:
        """Refuse what was drawn in other coordinates.

        Raises:
            ImagingError: `mask.frame_of_reference`.
        """
        if uid is not None and self.frame_of_reference is not None and uid != self.frame_of_reference:
            raise ImagingError(
                "the mask belongs to another frame of reference than the image; use the mask of this series",
                "mask.frame_of_reference",
            )


@dataclass(frozen=True)
class Mask:
    """A mask as a network is trained with.

    Attributes:
        array: read-only; uint8 of the image's shape, 0 or 1 + the index of a class; or, where classes overlap,
            bool (classes, *shape).
        affine: the image's; None for a picture's.
        classes: their names, in the study's order.
        warnings: for quality control: `mask.empty`, `mask.class_empty` or `mask.gap`.
    """

    array: NDArray[Any] = field(repr=False)
    affine: NDArray[np.float64] | None = field(repr=False)
    classes: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def overlapping(self) -> bool:
        """Whether a voxel can have several classes."""
        return self.array.ndim == 4

    def counts(self) -> Mapping[str, int]:
        """Voxels of each class; the hospital's own."""
        return dict(zip(self.classes, _counts(self.array, len(self.classes)), strict=True))


class Canvas:
    """A mask as it is drawn, piece by piece; two classes on a voxel make it one of overlapping classes.

    Args:
        grid: of the image.
        classes: their names, at most 255.
    """

    def __init__(self, grid: Grid, classes: Sequence[str]) -> None:
        if not 1 <= len(classes) <= 255:
            raise RuntimeError("a mask has 1 to 255 classes")
        self.grid, self.classes = grid, tuple(classes)
        self._indices: NDArray[np.uint8] = np.zeros(grid.shape, dtype=np.uint8)
        self._layers: NDArray[np.bool_] | None = None
        self._warnings: set[str] = set()

    def paint(self, index: int, where: tuple[slice | int, ...], piece: NDArray[np.bool_]) -> None:
        """Add a piece to the class of an index from 0.

        Raises:
            ImagingError: `mask.too_large`: there is no memory for overlapping classes.
        """
        if self._layers is not None:
            self._layers[(index, *where)] |= piece
            return
        there = self._indices[where]
        if np.any(piece & (there != 0) & (there != index + 1)):
            self._part()
            self.paint(index, where, piece)
        else:
            there[piece] = index + 1

    def warn(self, code: str) -> None:
        """Note what a person should look at."""
        self._warnings.add(code)

    def finish(self) -> Mask:
        """The mask, with what can be said of it as a whole."""
        array: NDArray[Any] = self._indices if self._layers is None else self._layers
        return finished(array, self.grid.affine, self.classes, self._warnings)

    def _part(self) -> None:
        if len(self.classes) * self._indices.size > MAX_BYTES:
            raise ImagingError("overlapping classes of this image need too much memory; use fewer", "mask.too_large")
        numbers = np.arange(1, len(self.classes) + 1, dtype=np.uint8)
        self._layers = self._indices[None] == numbers[:, None, None, None]


def finished(
    array: NDArray[Any], affine: NDArray[np.float64] | None, classes: tuple[str, ...], warnings: Collection[str] = ()
) -> Mask:
    """A mask that was drawn, with what can be said of it as a whole; see `Mask`. The array becomes read-only."""
    array.flags.writeable = False
    counts = _counts(array, len(classes))
    codes = {*warnings} | ({EMPTY} if not any(counts) else set()) | (set() if all(counts) else {CLASS_EMPTY})
    return Mask(array, affine, classes, tuple(sorted(codes)))


def fit(
    drawn: NDArray[np.bool_], affine: NDArray[np.float64], grid: Grid
) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
    """Where on the grid a drawn array lies, moved by whole voxels.

    Args:
        drawn: three axes, each at least 1 long; the affine's column of an axis of length 1 is not looked at.
        affine: (4, 4), index in `drawn` to RAS+ millimetres.
        grid: of the image.

    Returns:
        The place on the grid, and what of `drawn` belongs there, axes and directions being the grid's.

    Raises:
        ImagingError: `mask.geometry`: it lies turned, between voxels or at another spacing; `mask.outside`.
    """
    steps = np.linalg.inv(grid.affine) @ affine
    long = [axis for axis in range(3) if drawn.shape[axis] > 1]
    targets = {axis: int(np.argmax(np.abs(steps[:3, axis]))) for axis in long}
    free = [axis for axis in range(3) if axis not in targets.values()]
    if len(free) + len(long) != 3 or not np.isfinite(steps).all():
        raise _elsewhere()
    for axis in range(3):
        if axis not in targets:
            targets[axis] = free.pop(0)
            steps[:3, axis] = np.eye(3)[targets[axis]]
    whole = np.zeros((3, 3))
    for axis, target in targets.items():
        whole[target, axis] = np.sign(steps[target, axis]) or 1.0
    start = np.round(steps[:3, 3])
    corners = np.array(list(itertools.product(*((0, length - 1) for length in drawn.shape))), dtype=np.float64)
    there = corners @ whole.T + start
    if np.abs(corners @ steps[:3, :3].T + steps[:3, 3] - there).max() > TOLERANCE:
        raise _elsewhere()
    order = sorted(targets, key=lambda axis: targets[axis])
    turned = drawn.transpose(order)
    turned = turned[tuple(slice(None, None, int(whole[target, axis])) for target, axis in enumerate(order))]
    low = there.min(axis=0).astype(np.int64)
    return _crop(turned, low, grid.shape)


def _crop(
    turned: NDArray[np.bool_], low: NDArray[np.int64], shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
    places, parts = [], []
    for first, length, room in zip(low.tolist(), turned.shape, shape, strict=True):
        begin = min(max(first, 0), room)
        kept_length = max(min(first + length, room) - begin, 0)
        places.append(slice(begin, begin + kept_length))
        parts.append(slice(max(begin - first, 0), max(begin - first, 0) + kept_length))
    kept = turned[tuple(parts)]
    if np.count_nonzero(kept) != np.count_nonzero(turned):
        raise ImagingError("the mask has voxels outside the image; use the mask of this series", "mask.outside")
    return tuple(places), kept


def _elsewhere() -> ImagingError:
    return ImagingError(
        "the mask does not lie on the image's voxels (turned, shifted or of another spacing); resample it onto them",
        "mask.geometry",
    )


def _counts(array: NDArray[Any], classes: int) -> list[int]:
    if array.ndim == 4:
        return [int(np.count_nonzero(layer)) for layer in array]
    return [int(count) for count in np.bincount(array.reshape(-1), minlength=classes + 1)[1:]]

"""DICOM SEG: segments on the grid of their image (PS3.3 C.8.20), read with highdicom.

Each frame is placed by its own position, so that segments with gaps, of one slice, or of a part of the image need no
guess of a spacing. Binary, fractional (by the study's threshold) and label-map segmentations are read, a frame at a
time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from imaging.errors import ImagingError
from imaging.labels import opening
from imaging.labels.mask import GAP, LPS, Canvas, Grid, Mask, fit
from imaging.labels.selection import ClassRule, Code, Outline, assign
from imaging.volumes import codecs
from imaging.volumes.rejection import ImageRejected

MAX_FRAMES = 200_000
MAX_FRAME_PIXELS = 2**26
_LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"  # Label Map Segmentation Storage, which pydicom 3.0 has no name for


def read(path: Path, rules: Sequence[ClassRule], grid: Grid, threshold: float = 0.5) -> Mask:
    """The mask of a segmentation on an image's grid.

    Args:
        path: SEG file.
        rules: the study's classes.
        grid: of the image.
        threshold: of a fractional segmentation, in (0, 1]: least fraction that counts.

    Raises:
        ImagingError: `label_file.*`, `mask.*`, `segmentation.too_large` or `segmentation.pixels`.
    """
    from highdicom.seg import Segmentation

    if not 0 < threshold <= 1:
        raise RuntimeError("the threshold of a fractional segmentation must be in (0, 1]")
    dataset = opening.read(path, frozenset({SegmentationStorage, _LABEL_MAP}))
    with opening.reading():
        frames, pixels = int(dataset.NumberOfFrames), int(dataset.Rows) * int(dataset.Columns)
        if not 0 < frames <= MAX_FRAMES or not 0 < pixels <= MAX_FRAME_PIXELS:
            raise ImagingError("the segmentation has too many frames or pixels", "segmentation.too_large")
        grid.check_frame_of_reference(dataset.get("FrameOfReferenceUID"))
        chosen = assign(rules, _outlines(dataset))
        Segmentation.from_dataset(dataset, copy=False)  # which checks what a segmentation must have
        canvas = Canvas(grid, [rule.name for rule in rules])
        planes: dict[int, set[int]] = {number: set() for number in chosen}
        shown = {index: _segments(dataset, index, chosen) for index in range(frames)}
        wanted = [index for index, numbers in shown.items() if numbers]
        for index, values in zip(wanted, _decoded(dataset, wanted), strict=True):
            affine = _affine(dataset, index)
            for number in shown[index]:
                piece = _drawn(dataset, values, number, threshold).T[:, :, None]
                where, placed = fit(piece, affine, grid)
                canvas.paint(chosen[number], where, placed)
                if placed.any():
                    planes[number].add(where[2].start)
        if any(drawn and max(drawn) - min(drawn) + 1 != len(drawn) for drawn in planes.values()):
            canvas.warn(GAP)
    return canvas.finish()


def _outlines(dataset: Dataset) -> list[Outline]:
    return [
        Outline(
            int(segment.SegmentNumber),
            str(segment.get("SegmentLabel", "")),
            tuple(
                Code(str(item.CodeValue), str(item.CodingSchemeDesignator))
                for item in segment.get("SegmentedPropertyTypeCodeSequence") or ()
            ),
        )
        for segment in dataset.SegmentSequence
    ]


def _segments(dataset: Dataset, index: int, chosen: Mapping[int, int]) -> Sequence[int]:
    """The chosen segments that a frame may show."""
    if dataset.SegmentationType == "LABELMAP":
        return tuple(chosen)
    number = int(_group(dataset, index, "SegmentIdentificationSequence").ReferencedSegmentNumber)
    return (number,) if number in chosen else ()


def _decoded(dataset: Dataset, wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Stored values of some frames, (rows, columns) each; foreign decoders run in a process of their own."""
    if not wanted:
        return
    try:
        yield from codecs.decode(dataset, wanted=wanted)[0]
    except ImageRejected as error:
        raise ImagingError(
            f"the segmentation's pixels cannot be decoded ({error.code}); store it uncompressed", "segmentation.pixels"
        ) from None


def _drawn(dataset: Dataset, values: NDArray[Any], number: int, threshold: float) -> NDArray[np.bool_]:
    """The pixels of a segment in a frame, (rows, columns)."""
    ways: dict[str, Callable[[], NDArray[np.bool_]]] = {
        "BINARY": lambda: values != 0,
        "FRACTIONAL": lambda: values >= threshold * int(dataset.MaximumFractionalValue),
        "LABELMAP": lambda: values == number,
    }
    return ways[dataset.SegmentationType]()


def _affine(dataset: Dataset, index: int) -> NDArray[np.float64]:
    """Index (column, row, any) of a frame to RAS+ millimetres (PS3.3 C.7.6.2.1.1)."""
    spacing = np.array(_group(dataset, index, "PixelMeasuresSequence").PixelSpacing, dtype=np.float64)
    cosines = np.array(_group(dataset, index, "PlaneOrientationSequence").ImageOrientationPatient, dtype=np.float64)
    position = np.array(_group(dataset, index, "PlanePositionSequence").ImagePositionPatient, dtype=np.float64)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = cosines[:3] * spacing[1], cosines[3:] * spacing[0]
    affine[:3, 3] = position
    return LPS @ affine


def _group(dataset: Dataset, index: int, name: str) -> Dataset:
    """An item of a frame's functional groups, its own or that of all frames."""
    own = dataset.PerFrameFunctionalGroupsSequence[index]
    item: Dataset = (own if name in own else dataset.SharedFunctionalGroupsSequence[0])[name].value[0]
    return item

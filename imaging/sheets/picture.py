"""An image as a small picture: an image whole, a volume as three slices, what its mask names outlined.

For looking, not for measuring: values are cut at a low and a high one, and slices scaled to a box. A volume that says
how it lies is shown as radiologists look at it, the patient's right on the left and the front up; any other as its
array lies.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

BOX: Final = 208
"""Pixels of a slice's box, each way."""
COLOURS: Final = (
    (255, 179, 0),
    (0, 200, 215),
    (255, 95, 130),
    (140, 220, 90),
    (190, 150, 255),
    (255, 140, 60),
    (90, 160, 255),
    (240, 230, 110),
)
"""Of the classes' outlines, over again where there are more classes."""
_GREYS = 256 - len(COLOURS)
_GAP = 4
_CAPTION = 18
_WIDTH = 1300
_SAMPLE = 200_000


@dataclass(frozen=True)
class Slice:
    """One plane of an image, as it is looked at.

    Attributes:
        values: (rows, columns).
        classes: (n, rows, columns) bool, one layer a class; n = 0 without a mask.
        aspect: height of a pixel through its width.
    """

    values: NDArray[Any] = field(repr=False)
    classes: NDArray[np.bool_] = field(repr=False)
    aspect: float


def slices(
    array: NDArray[Any],
    mask: NDArray[Any] | None,
    affine: NDArray[np.float64] | None,
    spacing: Sequence[float] | None,
    classes: int,
) -> tuple[Slice, ...]:
    """The planes that are shown: of a volume axial, coronal, sagittal, where the mask is largest or else in the middle.

    Args:
        array: (rows, columns) or (i, j, k).
        mask: of the array's shape, 0 or 1 + the index of a class; or bool (classes, *shape).
        affine: (4, 4), voxel to RAS+ millimetres, or None: shown as the array lies.
        spacing: along each axis; None: pixels are square.
        classes: how many a mask has.
    """
    steps = tuple(spacing) if spacing is not None else (1.0,) * array.ndim
    layers = _layers(mask, classes)
    if array.ndim == 2:
        return (Slice(array, layers(slice(None), slice(None)), steps[0] / steps[1]),)
    order, backwards = _as_patient(affine)
    where = _places(mask, array.shape)
    found = []
    for across, along in ((0, 1), (0, 2), (1, 2)):  # axes of the patient: columns, rows
        fixed = order[3 - across - along]
        cut: list[slice | int] = [slice(None)] * 3
        cut[fixed] = where[fixed]
        kept = [axis for axis in range(3) if axis != fixed]
        plane, drawn = array[tuple(cut)], layers(*cut)
        if kept != [order[along], order[across]]:
            plane, drawn = plane.T, drawn.transpose(0, 2, 1)
        # Right, front and top are the first column or row: these grow with the index unless it runs backwards.
        for axis, side in ((order[along], -2), (order[across], -1)):
            if affine is not None and not backwards[axis]:
                plane, drawn = np.flip(plane, side), np.flip(drawn, side)
        found.append(Slice(plane, drawn, steps[order[along]] / steps[order[across]]))
    return tuple(found)


def limits(values: NDArray[Any], beyond: float = 0.5) -> tuple[float, float]:
    """The values shown black and white: all but so many percent at each end, of a sample."""
    flat = values.reshape(-1)
    low, high = np.percentile(flat[:: max(1, flat.size // _SAMPLE)].astype(np.float64), (beyond, 100 - beyond))
    return float(low), float(high)


def draw(shown: Sequence[Slice], low: float, high: float, smooth: bool = True) -> Image.Image:
    """The slices side by side, in a palette of greys and the classes' colours.

    Args:
        shown: see `slices`.
        low: the value of black.
        high: the value of white; where it is not above `low`, all is black.
        smooth: whether pixels are blended where they are enlarged.
    """
    width = len(shown) * BOX + (len(shown) - 1) * _GAP
    picture = Image.new("P", (width, BOX), 0)
    grey = [round(level * 255 / (_GREYS - 1)) for level in range(_GREYS) for _ in range(3)]
    picture.putpalette(grey + [part for colour in COLOURS for part in colour])
    for place, plane in enumerate(shown):
        tile = _tile(plane, low, high, smooth)
        left = place * (BOX + _GAP) + (BOX - tile.shape[1]) // 2
        picture.paste(Image.fromarray(tile, "P"), (left, (BOX - tile.shape[0]) // 2))
    return picture


def sheets(pictures: Sequence[tuple[str, Image.Image]], per_page: int) -> Iterator[Image.Image]:
    """Pictures of one size with their captions, so many a sheet; in the palette of `draw`."""
    for start in range(0, len(pictures), per_page):
        part = pictures[start : start + per_page]
        wide, high = part[0][1].width + _GAP, part[0][1].height + _CAPTION
        columns = max(1, _WIDTH // wide)
        sheet = Image.new("P", (columns * wide, -(-len(part) // columns) * high), 0)
        sheet.putpalette(part[0][1].getpalette() or [])
        write = ImageDraw.Draw(sheet)
        for at, (caption, picture) in enumerate(part):
            x, y = at % columns * wide, at // columns * high
            sheet.paste(picture, (x, y + _CAPTION))
            write.text((x + 2, y + 3), caption, fill=_GREYS - 1)
        yield sheet


def png(picture: Image.Image) -> bytes:
    """A picture as a PNG file, without anything else in it."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _tile(plane: Slice, low: float, high: float, smooth: bool) -> NDArray[np.uint8]:
    rows, columns = plane.values.shape
    height, width = rows * plane.aspect, float(columns)
    size = (max(1, round(BOX * width / max(height, width))), max(1, round(BOX * height / max(height, width))))
    scaled = (plane.values.astype(np.float32) - low) / (high - low) if high > low else np.zeros(plane.values.shape)
    levels = Image.fromarray((scaled.clip(0, 1) * (_GREYS - 1)).round().astype(np.uint8), "L")
    smaller = size[0] < columns or size[1] < rows
    method = Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    tile = np.array(levels.resize(size, method).point(lambda level: min(level, _GREYS - 1)))
    for number, layer in enumerate(plane.classes):
        whole = np.array(Image.fromarray(layer).resize(size, Image.Resampling.NEAREST))
        tile[whole & ~_inside(whole)] = _GREYS + number % len(COLOURS)
    return tile


def _inside(layer: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels whose four neighbours belong to the layer, too."""
    wide = np.pad(layer, 1)
    inside: NDArray[np.bool_] = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return inside


def _layers(mask: NDArray[Any] | None, classes: int) -> Any:
    """What cuts a plane's layers out of a mask."""
    if mask is None:
        return lambda *cut: np.zeros((0, 1, 1), np.bool_)
    if mask.dtype == np.bool_:
        return lambda *cut: mask[(slice(None), *cut)]
    numbers = np.arange(1, classes + 1, dtype=np.uint8)[:, None, None]
    return lambda *cut: mask[cut][None] == numbers


def _places(mask: NDArray[Any] | None, shape: tuple[int, ...]) -> list[int]:
    """The index of the slice to show, along each axis."""
    drawn = None if mask is None else (mask.any(axis=0) if mask.dtype == np.bool_ else mask != 0)
    if drawn is None or not drawn.any():
        return [side // 2 for side in shape]
    return [int(drawn.sum(axis=tuple(other for other in range(3) if other != axis)).argmax()) for axis in range(3)]


def _as_patient(affine: NDArray[np.float64] | None) -> tuple[list[int], list[bool]]:
    """The axes of the array that run most to right, front and top, each once, and which axes run backwards."""
    if affine is None:
        return [0, 1, 2], [False] * 3
    left = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    order = [0, 0, 0]
    for _ in range(3):
        world, axis = np.unravel_index(int(left.argmax()), left.shape)
        order[int(world)] = int(axis)
        left[world, :] = left[:, axis] = -1.0
    return order, [bool(affine[order.index(axis), axis] < 0) for axis in range(3)]

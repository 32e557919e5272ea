"""NIfTI and PNG masks: whole numbers on the grid of their image, each one a class that the study declares.

A PNG is of a picture of as many rows and columns, and has no other geometry. A NIfTI file is read as an image is
(`imaging.volumes.nifti`), but bounded by the image's own shape before any voxel is inflated, and may be constant.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError
from imaging.labels.mask import Canvas, Grid, Mask, finished, fit
from imaging.volumes import headers, nifti, pictures

GEOMETRY = "mask.geometry"
VALUE = "mask.value"


def read(path: Path, classes: Mapping[str, tuple[int, ...]], grid: Grid) -> Mask:
    """The mask of a NIfTI file on an image's grid.

    Args:
        path: .nii or .nii.gz.
        classes: name -> the values in the file that mean it; 0 is no class, and no other value may occur.
        grid: of the image.

    Raises:
        ImagingError: `mask.geometry`, `mask.outside`, `mask.value`; or as `nifti.stored` and `nifti.scaled`.
    """

    def check(shape: tuple[int, ...]) -> None:
        if sorted(shape) != sorted(grid.shape):
            raise ImagingError("the mask has another number of voxels than the image; resample it onto it", GEOMETRY)

    numbers = _numbers(classes)
    file = nifti.stored(headers.load(path), check)
    whole = _whole(nifti.scaled(file.values, *file.scaling)[0], numbers)
    canvas = Canvas(grid, tuple(classes))
    for index, meant in enumerate(classes.values()):
        canvas.paint(index, *fit(np.isin(whole, meant), file.affine, grid))
    return canvas.finish()


def read_picture(path: Path, classes: Mapping[str, tuple[int, ...]], shape: tuple[int, ...]) -> Mask:
    """The mask of a picture.

    Args:
        path: a grey PNG of 8 or 16 bits.
        classes: name -> the values in the file that mean it; 0 is no class, and no other value may occur.
        shape: of the picture (rows, columns).

    Raises:
        ImagingError: `mask.geometry`: it has another shape; `mask.value`; or as `pictures.levels`.
    """
    numbers = _numbers(classes)
    values = pictures.levels(path)
    if values.shape != shape:
        raise ImagingError("the mask has not the rows and columns of its picture; draw it on the picture", GEOMETRY)
    whole = _whole(values, numbers)
    array = np.zeros(shape, np.uint8)
    for index, meant in enumerate(classes.values()):
        array[np.isin(whole, meant)] = index + 1
    return finished(array, None, tuple(classes))


def _numbers(classes: Mapping[str, tuple[int, ...]]) -> list[int]:
    numbers = [value for values in classes.values() for value in values]
    if 0 in numbers or len(set(numbers)) != len(numbers):
        raise RuntimeError("a value of a mask means one class, and 0 none")
    return numbers


def _whole(values: NDArray[Any], numbers: list[int]) -> NDArray[np.int64]:
    if (values != np.round(values)).any():
        raise ImagingError("the mask's values are not whole numbers", VALUE)
    if not np.isin(np.unique(values), [0, *numbers]).all():
        raise ImagingError("the mask has a value that means no class; declare all that occur", VALUE)
    return values.astype(np.int64)

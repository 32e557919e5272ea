"""NIfTI and PNG masks: whole numbers on the grid of their image, each one a class that the study declares.

A PNG is of a picture of as many rows and columns, and has no other geometry. The header of a NIfTI file is bounded by
the image's own shape before any voxel is read. An affine is taken only where the header says that it has one; one that
says two different things is refused.
"""

import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError
from imaging.labels.mask import TOLERANCE, Canvas, Grid, Mask, finished, fit
from imaging.volumes import pictures

SUFFIXES = (".nii", ".nii.gz")
GEOMETRY = "mask.geometry"
_DOUBTFUL = 30
"""nibabel's level of header problems from which on it would put something in their place."""


def read(path: Path, classes: Mapping[str, tuple[int, ...]], grid: Grid) -> Mask:
    """The mask of a NIfTI file on an image's grid.

    Args:
        path: .nii or .nii.gz.
        classes: name -> the values in the file that mean it; 0 is no class, and no other value may occur.
        grid: of the image.

    Raises:
        ImagingError: `nifti.unreadable`, `nifti.value`, `nifti.no_geometry`, `nifti.two_geometries`,
            `mask.geometry`, `mask.outside`.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.imageglobals import ErrorLevel, LoggingOutputSuppressor
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    numbers = _numbers(classes)
    if not path.name.endswith(SUFFIXES):
        raise ImagingError(f"a NIfTI mask must be a file that ends in {' or '.join(SUFFIXES)}", "nifti.unreadable")
    try:
        with warnings.catch_warnings(), ErrorLevel(_DOUBTFUL), LoggingOutputSuppressor():
            warnings.simplefilter("ignore")
            image = nibabel.load(path)
            if not isinstance(image, nibabel.Nifti1Image):  # Nifti2Image is one, too
                raise ImagingError("a mask is not in NIfTI format", "nifti.unreadable")
            affine, shape = _affine(image.header, image.shape), _shape(image.shape, grid)
            values = np.asanyarray(image.dataobj).reshape(shape)
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        ArithmeticError,
        MemoryError,
        zlib.error,
        ImageFileError,
        HeaderDataError,
        WrapStructError,
    ):
        raise ImagingError("a NIfTI mask is damaged or cannot be read; write it again", "nifti.unreadable") from None
    canvas = Canvas(grid, tuple(classes))
    whole = _whole(values, numbers, "nifti.value")
    for index, meant in enumerate(classes.values()):
        canvas.paint(index, *fit(np.isin(whole, meant), affine, grid))
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
    whole = _whole(values, numbers, "mask.value")
    array = np.zeros(shape, np.uint8)
    for index, meant in enumerate(classes.values()):
        array[np.isin(whole, meant)] = index + 1
    return finished(array, None, tuple(classes))


def _numbers(classes: Mapping[str, tuple[int, ...]]) -> list[int]:
    numbers = [value for values in classes.values() for value in values]
    if 0 in numbers or len(set(numbers)) != len(numbers):
        raise RuntimeError("a value of a mask means one class, and 0 none")
    return numbers


def _shape(shape: tuple[int, ...], grid: Grid) -> tuple[int, int, int]:
    if len(shape) < 3 or any(length != 1 for length in shape[3:]) or sorted(shape[:3]) != sorted(grid.shape):
        raise ImagingError("the mask has another number of voxels than the image; resample it onto it", GEOMETRY)
    return shape[0], shape[1], shape[2]


def _affine(header: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    sform, has_sform = header.get_sform(coded=True)
    qform, has_qform = header.get_qform(coded=True)
    if not has_sform and not has_qform:
        raise ImagingError("the mask's header has no geometry (sform and qform codes are 0)", "nifti.no_geometry")
    if has_sform and has_qform:
        ends = np.array([0, 0, 0, 1]), np.array([*(length - 1 for length in shape[:3]), 1])
        size = np.abs(np.linalg.det(sform[:3, :3])) ** (1 / 3)
        if any(np.abs((sform - qform) @ end).max() > TOLERANCE * size for end in ends):
            raise ImagingError(
                "the mask's header has two geometries (sform and qform differ); keep the right one",
                "nifti.two_geometries",
            )
    return np.asarray(sform if has_sform else qform, dtype=np.float64)


def _whole(values: NDArray[Any], numbers: list[int], code: str) -> NDArray[np.int64]:
    if values.dtype.kind not in "uif" or not np.isfinite(values).all() or (values != np.round(values)).any():
        raise ImagingError("the mask's values are not whole numbers", code)
    found = np.unique(values)
    if not np.isin(found, [0, *numbers]).all():
        raise ImagingError("the mask has a value that means no class; declare all that occur", code)
    return values.astype(np.int64)

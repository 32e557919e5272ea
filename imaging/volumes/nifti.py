"""NIfTI-1 and NIfTI-2 files into volumes whose place is certain, or a named rejection.

Only the header goes through nibabel; voxels are taken as the header says, and no more bytes are inflated than it
declares. An orientation must be stated, and where qform and sform are both, they must agree: other readers
choose one in silence. Four-dimensional files become one volume a time point. Axes stay as in the file.
"""

import gzip
import hashlib
import io
import logging
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from imaging.volumes.geometry import DEPARTURE
from imaging.volumes.manifest import Manifest
from imaging.volumes.rejection import MAX_VOXELS, ImageRejected, Rejection
from imaging.volumes.volume import Volume

_GZIP = b"\x1f\x8b"
_HEADERS = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
_HEADER_BYTES = 540
_MAX_OFFSET = 2**24
_AS_STORED = frozenset({np.dtype(np.uint8), np.dtype(np.int16), np.dtype(np.uint16)})
_NOWHERE = logging.Logger("nowhere", logging.CRITICAL + 1)
_DAMAGED = 30
"""nibabel's level of what a header must not have; below are a missing qfac and the like, which have defaults."""

_EXACT = 2**24
"""Integers up to this are exact in single precision."""


@dataclass(frozen=True)
class Stored:
    """What a file holds, its place certain and its values not yet scaled.

    Attributes:
        values: (i, j, k) or (i, j, k, t), as stored.
        affine: (4, 4), voxel index to RAS+ millimetres.
        scaling: slope and intercept; None where the file gives none.
        unit: of its axes: mm, or unknown.
    """

    values: NDArray[Any] = field(repr=False)
    affine: NDArray[np.float64] = field(repr=False)
    scaling: tuple[float | None, float | None]
    unit: str


def stored(data: bytes, check: Callable[[tuple[int, ...]], None] = lambda shape: None) -> Stored:
    """What is in the bytes of a .nii or .nii.gz file; told by its first bytes, not by a name.

    Args:
        data: of the file.
        check: is told the shape before any voxel is inflated; may raise.

    Raises:
        ImageRejected: NIFTI*, TRUNCATED, TOO_LARGE, COLOUR, PIXEL_FORMAT.
    """
    try:
        stream = gzip.GzipFile(fileobj=io.BytesIO(data)) if data.startswith(_GZIP) else io.BytesIO(data)
        header, values = _parts(stream, check)
        affine = _affine(header)
        scaling = header.get_slope_inter()
        unit = header.get_xyzt_units()[0]
    except (EOFError, HeaderDataError, KeyError, OSError, OverflowError, ValueError, WrapStructError, zlib.error):
        raise ImageRejected(Rejection.NIFTI) from None
    if unit not in ("mm", "unknown"):
        raise ImageRejected(Rejection.NIFTI_UNITS)
    return Stored(values, affine, scaling, unit)


def read(data: bytes) -> tuple[Volume, ...]:
    """The volumes in the bytes of a .nii or .nii.gz file.

    Raises:
        ImageRejected: as `stored`, NIFTI_VALUES, CONSTANT.
    """
    file = stored(data)
    values, affine = file.values, file.affine
    digest = hashlib.sha256(data).digest()
    times = [values] if values.ndim == 3 else [values[..., time] for time in range(values.shape[3])]
    found = []
    for time, one in enumerate(times):
        part = (("volume", str(time)),) if len(times) > 1 else ()
        array, rescale = scaled(one, *file.scaling)
        if array.min() == array.max():
            raise ImageRejected(Rejection.CONSTANT)
        manifest = Manifest(
            source="nifti",
            modality=None,
            shape=array.shape,
            dtype=array.dtype.name,
            spacing=tuple(float(one) for one in np.linalg.norm(affine[:3, :3], axis=0)),
            spacing_source="patient" if file.unit == "mm" else "assumed",
            orientation="".join(nibabel.aff2axcodes(affine)),
            photometric="as stored",
            rescale=rescale,
            decoders=(f"nibabel {nibabel.__version__}",),
            syntaxes=(),
            lossy=False,
            part=part,
            files=1,
            source_digest=hashlib.sha256(digest + repr(part).encode()).hexdigest(),
        )
        found.append(Volume(array, affine.copy(), manifest))
    return tuple(found)


def _parts(stream: io.BufferedIOBase, check: Callable[[tuple[int, ...]], None]) -> tuple[Any, NDArray[Any]]:
    """Header and stored values (i, j, k) or (i, j, k, t) of a file, nothing of which is believed to be small."""
    start = stream.read(_HEADER_BYTES)
    sizes = (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big"))
    size = next((size for size in sizes if size in _HEADERS), None)
    if size is None:
        raise ImageRejected(Rejection.NIFTI)
    header = _HEADERS[size](start[:size], check=False)
    # By itself nibabel repairs what it can (negative spacing, unknown codes) and logs the values; here that is damage.
    header.check_fix(logger=_NOWHERE, error_level=_DAMAGED)
    if not header.is_single:
        raise ImageRejected(Rejection.NIFTI)
    shape = tuple(int(side) for side in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise ImageRejected(Rejection.NIFTI_SHAPE)
    check(shape)
    dtype, offset = header.get_data_dtype(), int(header.get_data_offset())
    if dtype.names:
        raise ImageRejected(Rejection.COLOUR)
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        raise ImageRejected(Rejection.PIXEL_FORMAT)
    if math.prod(shape) > MAX_VOXELS or not size <= offset <= _MAX_OFFSET:
        raise ImageRejected(Rejection.TOO_LARGE if math.prod(shape) > MAX_VOXELS else Rejection.NIFTI)
    end = offset + math.prod(shape) * dtype.itemsize
    content = start + stream.read(max(0, end - len(start)))
    if len(content) < end:
        raise ImageRejected(Rejection.TRUNCATED)
    return header, np.ndarray(shape, dtype, buffer=content, offset=offset, order="F")


def _affine(header: Any) -> NDArray[np.float64]:
    """The one affine that the file states."""
    (scanner, scanner_code), (aligned, aligned_code) = header.get_qform(coded=True), header.get_sform(coded=True)
    if not scanner_code and not aligned_code:
        raise ImageRejected(Rejection.NIFTI_ORIENTATION)
    affine = np.array(aligned if aligned_code else scanner, dtype=np.float64)
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or edges.min() < 1e-6:
        raise ImageRejected(Rejection.NIFTI)
    shape, allowed = header.get_data_shape()[:3], DEPARTURE * float(edges.min())
    if scanner_code and aligned_code and _departure(affine, np.asarray(scanner), shape) > allowed:
        raise ImageRejected(Rejection.NIFTI_CONFLICT)
    left, _, right = np.linalg.svd(affine[:3, :3] / edges)
    upright = affine.copy()
    upright[:3, :3] = left @ right * edges
    if _departure(affine, upright, shape) > allowed:
        raise ImageRejected(Rejection.NIFTI_SHEARED)
    return affine


def _departure(one: NDArray[np.float64], other: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    """How far apart two affines put a corner of the volume at most, millimetres."""
    corners = np.array([(*corner, 1) for corner in product(*((0, side - 1) for side in shape))]).T
    return float(np.linalg.norm(((one - other) @ corners)[:3], axis=0).max())


def scaled(stored: NDArray[Any], slope: float | None, intercept: float | None) -> tuple[NDArray[Any], str]:
    """Scaled values in native byte order, and what a manifest says of the scaling.

    Raises:
        ImageRejected: PIXEL_FORMAT: integers that single precision does not hold; NIFTI_VALUES.
    """
    native = stored.astype(stored.dtype.newbyteorder("="), order="F")
    if slope is not None and (slope, intercept) != (1.0, 0.0):
        with np.errstate(over="ignore", invalid="ignore"):
            array, rescale = (native.astype(np.float64) * slope + (intercept or 0.0)).astype(np.float32), "linear"
    elif native.dtype in _AS_STORED:
        array, rescale = native, "none"
    else:
        if native.dtype.kind in "ui" and (int(native.max()) > _EXACT or int(native.min()) < -_EXACT):
            raise ImageRejected(Rejection.PIXEL_FORMAT)
        with np.errstate(over="ignore", invalid="ignore"):
            array, rescale = native.astype(np.float32), "none"
    if not np.isfinite(array).all():
        raise ImageRejected(Rejection.NIFTI_VALUES)
    return array, rescale

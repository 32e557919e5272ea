"""Files that are not DICOM into volumes and images: PNG and JPEG here, NIfTI by `nifti`.

What a file is, its first bytes say, not its name. Who it is of says nobody but a manifest (`sources.listing`),
so that what comes out is a `Volume` without a patient.
"""

import hashlib
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageFile

from imaging.volumes import nifti, values
from imaging.volumes.headers import load
from imaging.volumes.manifest import Manifest
from imaging.volumes.radiograph import Colour
from imaging.volumes.rejection import MAX_PIXELS, MIN_SIDE, ImageRejected, Rejection
from imaging.volumes.volume import Volume

_PNG = b"\x89PNG\r\n\x1a\n"
_SIGNATURES = {_PNG: "PNG", b"\xff\xd8\xff": "JPEG"}
_GREY = frozenset({"L", "I;16"})
_EXIF_ORIENTATION = 0x0112

ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    Image.DecompressionBombError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What Pillow and its plugins raise on damaged files."""


def read(path: Path, colour: Colour = "reject") -> tuple[Volume, ...]:
    """Read a PNG or JPEG picture (one image) or a NIfTI file (a volume for each time point).

    Raises:
        ImageRejected: see `Rejection`.
    """
    data = load(path)
    for signature, kind in _SIGNATURES.items():
        if data.startswith(signature):
            return (_picture(data, kind, colour),)
    return nifti.read(data)


def levels(path: Path) -> NDArray[Any]:
    """The grey values of a PNG as they are stored, uint8 or uint16 (rows, columns), constant or not.

    Raises:
        ImageRejected: as `read`, and whatever is no grey PNG.
    """
    data = load(path)
    if not data.startswith(_PNG):
        raise ImageRejected(Rejection.PICTURE)
    return _pixels(data, _SIGNATURES[_PNG], "reject")[0]


def _pixels(data: bytes, kind: str, colour: Colour) -> tuple[NDArray[Any], str]:
    """Values in native byte order, and Pillow's mode of the file."""
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # a switch of the whole process, which other libraries turn on
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(data), formats=(kind,)) as image:
                _check(image, colour)
                image.load()
                pixels = np.asarray(image)
                mode = image.mode
    except ImageRejected:
        raise
    except ERRORS:
        raise ImageRejected(Rejection.PICTURE) from None
    if mode == "RGB":
        return values.luminance(pixels), mode
    return pixels.astype(pixels.dtype.newbyteorder("=")), mode


def _picture(data: bytes, kind: str, colour: Colour) -> Volume:
    pixels, mode = _pixels(data, kind, colour)
    if pixels.min() == pixels.max():
        raise ImageRejected(Rejection.CONSTANT)
    manifest = Manifest(
        source=kind.lower(),
        modality=None,
        shape=pixels.shape,
        dtype=pixels.dtype.name,
        spacing=None,
        spacing_source="none",
        orientation=None,
        photometric="luminance" if mode == "RGB" else "as stored",
        rescale="none",
        decoders=(f"pillow {PIL.__version__}",),
        syntaxes=(),
        lossy=kind == "JPEG",
        part=(),
        files=1,
        source_digest=hashlib.sha256(data).hexdigest(),
    )
    return Volume(pixels, None, manifest)


def _check(image: Image.Image, colour: Colour) -> None:
    """Check size, mode and frames before pixels are decoded."""
    columns, rows = image.size
    if rows * columns > MAX_PIXELS:
        raise ImageRejected(Rejection.TOO_LARGE)
    if min(rows, columns) < MIN_SIDE:
        raise ImageRejected(Rejection.TOO_SMALL)
    if getattr(image, "n_frames", 1) != 1:
        raise ImageRejected(Rejection.MULTI_FRAME)
    if image.mode == "RGB":
        if colour != "luminance":
            raise ImageRejected(Rejection.COLOUR)
    elif image.mode not in _GREY:
        raise ImageRejected(Rejection.PICTURE_MODE)
    if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
        raise ImageRejected(Rejection.PICTURE_ROTATED)

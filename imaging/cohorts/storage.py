"""One image of a cohort as bytes, and on the disk: array, affine, manifest and mask together, sealed.

The bytes are `collegium-image/1`, four lengths, canonical JSON and three arrays in NumPy's own format without pickle.
They hold nothing that identifies, and equal images have equal bytes; a file's name is a keyed digest of them, so that a
folder shows nobody which image it holds.
"""

import hashlib
import hmac
import io
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from imaging import sealing
from imaging.cohorts.index import IMAGE_PURPOSE, SUFFIX
from imaging.errors import ImagingError
from imaging.volumes.manifest import Manifest
from imaging.volumes.volume import Volume

MAGIC: Final = b"collegium-image/1\n"
_LENGTHS: Final = struct.Struct(">QQQQ")
_NAME_BYTES = 16


@dataclass(frozen=True)
class CohortImage:
    """An image of a cohort.

    Attributes:
        volume: de-identified.
        mask: read-only; uint8 of the image's shape, 0 or 1 + the index of a class, or bool (classes, *shape) where
            classes overlap; None where the cohort has no masks.
    """

    volume: Volume
    mask: NDArray[Any] | None = field(repr=False)


def pack(image: CohortImage) -> bytes:
    """The bytes of an image."""
    volume = image.volume
    parts = [volume.manifest.canonical(), *(_array(array) for array in (volume.array, volume.affine, image.mask))]
    return MAGIC + _LENGTHS.pack(*map(len, parts)) + b"".join(parts)


def unpack(data: bytes | bytearray) -> CohortImage:
    """The image of which `pack` made these bytes.

    Raises:
        ValueError: they are not such bytes.
    """
    view = memoryview(data)
    start = len(MAGIC) + _LENGTHS.size
    if bytes(view[: len(MAGIC)]) != MAGIC or len(view) < start:
        raise ValueError("not an image of a cohort")
    parts = []
    for length in _LENGTHS.unpack(view[len(MAGIC) : start]):
        if start + length > len(view):
            raise ValueError("not an image of a cohort")
        parts.append(view[start : start + length])
        start += length
    array, affine, mask = (_loaded(part) for part in parts[1:])
    if start != len(view) or array is None:
        raise ValueError("not an image of a cohort")
    return CohortImage(Volume(array, affine, Manifest.parse(bytes(parts[0]))), mask)


@dataclass(frozen=True)
class Stored:
    """Where an image lies below its cohort's folder of images, and what its bytes in clear hash to (hex)."""

    file: str
    sha256: str


@dataclass(frozen=True)
class ImageStore:
    """The images of one cohort.

    Args:
        folder: of the images.
        key: 32 secret bytes of the site.
    """

    folder: Path
    key: bytes = field(repr=False)

    def add(self, data: bytes) -> Stored:
        """Write the bytes of an image.

        Raises:
            OSError: the disk refused, or the image is there.
        """
        name = hmac.digest(self.key, b"collegium/v1/image-name\x00" + hashlib.sha256(data).digest(), "sha256")
        stored = Stored(name[:_NAME_BYTES].hex() + SUFFIX, hashlib.sha256(data).hexdigest())
        sealing.write(self.folder / stored.file, self.key, IMAGE_PURPOSE, data)
        return stored

    def read(self, stored: Stored) -> CohortImage:
        """An image, checked against its digest.

        Raises:
            ImagingError: `cohort.damaged`.
        """
        try:
            data = sealing.read(self.folder / stored.file, self.key, IMAGE_PURPOSE)
            if hashlib.sha256(data).hexdigest() != stored.sha256:
                raise ValueError("another image")
            return unpack(data)
        except (ImagingError, ValueError, KeyError, TypeError, json.JSONDecodeError):
            raise ImagingError(
                "an image of the cohort is missing or was altered; ingest it again under a new name", "cohort.damaged"
            ) from None


def _array(array: NDArray[Any] | None) -> bytes:
    if array is None:
        return b""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _loaded(data: memoryview) -> NDArray[Any] | None:
    if not data:
        return None
    array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    array.flags.writeable = False
    return array

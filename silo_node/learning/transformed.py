"""Images as a study's transforms leave them, sealed on disk, so that what does not fit into memory is resampled once.

An entry is named by the stored image's content and the study; the name is a keyed hash and the content is sealed under
it. What does not open is made again. The folder goes when the study ends, and may go at any time.
"""

import hmac
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from imaging import sealing
from imaging.errors import ImagingError
from privacy.durable import make_folder, storage_error

Pair: TypeAlias = tuple[NDArray[np.float32], NDArray[np.uint8] | None]
"""An image (1, *spatial) and its mask (*spatial), if it has one."""

_CONTEXT: Final = b"collegium/v1/transformed\x00"
_LENGTH_BYTES: Final = 8


class TransformedImages:
    """The transformed images of one study.

    Args:
        folder: made where it is missing.
        key: the site's secret for stored images, 32 bytes.
        study: its digest: other transforms are another study.
    """

    def __init__(self, folder: Path, key: bytes, study: bytes) -> None:
        self._folder, self._key, self._study = folder, key, study

    def pair(self, content: str, make: Callable[[], Pair]) -> Pair:
        """An image with its mask, from the disk or else made and kept.

        Args:
            content: digest of the stored image, hex.
            make: transforms it; not called if the pair is kept.

        Raises:
            StorageError: the disk refused.
        """
        name = hmac.digest(self._key, _CONTEXT + self._study + bytes.fromhex(content), "sha256")[:20].hex()
        path = self._folder / name
        if path.exists():
            try:
                return _opened(sealing.read(path, self._key, _CONTEXT + name.encode()))
            except (ImagingError, ValueError):
                path.unlink(missing_ok=True)
        pair = make()
        try:
            make_folder(self._folder)
            partial = path.with_suffix(".partial")
            partial.unlink(missing_ok=True)
            sealing.write(partial, self._key, _CONTEXT + name.encode(), _closed(pair))
            partial.rename(path)
        except OSError as error:
            raise storage_error(error) from error
        return pair

    def forget(self) -> None:
        """Remove them all."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _closed(pair: Pair) -> bytes:
    image, mask = (b"" if array is None else _saved(array) for array in pair)
    return len(image).to_bytes(_LENGTH_BYTES, "big") + image + mask


def _saved(array: NDArray[np.float32] | NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _opened(content: bytearray) -> Pair:
    view = memoryview(content)
    end = _LENGTH_BYTES + int.from_bytes(view[:_LENGTH_BYTES], "big")
    image = np.lib.format.read_array(io.BytesIO(view[_LENGTH_BYTES:end]), allow_pickle=False)
    if end == len(view):
        return image, None
    return image, np.lib.format.read_array(io.BytesIO(view[end:]), allow_pickle=False)

"""A DICOM file's bytes into a dataset, with every foreign error and warning turned into a rejection.

Sizes are checked before memory is taken, and a deflated file is refused before it is inflated. Values are not
judged here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue

from imaging import bounded, foreign
from imaging.volumes import rejection
from imaging.volumes.rejection import ImageRejected, Rejection


@contextmanager
def foreign_errors() -> Iterator[None]:
    """Turn what pydicom raises into a rejection, and silence its warnings: both quote the file's values."""
    try:
        with foreign.silenced():
            yield
    except ImageRejected:
        raise
    except InvalidDicomError:
        raise ImageRejected(Rejection.NOT_DICOM) from None
    except EOFError:
        raise ImageRejected(Rejection.TRUNCATED) from None
    except foreign.ERRORS:
        raise ImageRejected(Rejection.MALFORMED) from None


def load(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        ImageRejected: UNREADABLE, TOO_LARGE.
    """
    try:
        data = bounded.read(path, rejection.MAX_FILE_BYTES)
    except OSError as error:
        raise ImageRejected(Rejection.UNREADABLE) from error
    if len(data) > rejection.MAX_FILE_BYTES:
        raise ImageRejected(Rejection.TOO_LARGE)
    return data


def parse(data: bytes, *, pixels: bool) -> Dataset:
    """The dataset in a file's bytes; only within `foreign_errors`.

    Args:
        data: of the whole file.
        pixels: whether the dataset is wanted with its pixel data.

    Raises:
        ImageRejected: NOT_DICOM, SYNTAX.
    """
    if data[128:132] != b"DICM":
        raise ImageRejected(Rejection.NOT_DICOM)
    if foreign.is_deflated(data):
        raise ImageRejected(Rejection.SYNTAX)
    dataset = dcmread(BytesIO(data), stop_before_pixels=not pixels)
    if not dataset.file_meta.get("TransferSyntaxUID"):
        raise ImageRejected(Rejection.NOT_DICOM)
    dataset.buffer = None  # it would keep the whole file in memory as long as its header
    return dataset


def text(dataset: Dataset, keyword: str) -> str:
    """An attribute as text without padding, several values joined by a backslash, "" if absent."""
    value = dataset.get(keyword)
    if isinstance(value, MultiValue | list):
        value = "\\".join(str(one) for one in value)
    return "" if value is None else str(value).strip(" \0")

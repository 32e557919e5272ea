"""What readers of DICOM raise and warn of. Both quote the file's values, so neither may pass: here they are named.

What an error means is for whoever reads. They are given bytes and no files: asked for what an element claims, a file
takes that memory before it reads.
"""

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import pydicom.config
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

ERRORS = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom and its dependencies were seen to raise on damaged files, and what such code can raise."""

_DEFLATED = DeflatedExplicitVRLittleEndian.encode("ascii")

# They go to standard error where a program configures no logging.
for _library in ("highdicom", "openjpeg", "pydicom", "pylibjpeg", "rle"):
    logging.getLogger(_library).setLevel(logging.CRITICAL + 1)


def is_deflated(data: bytes) -> bool:
    """Whether a Part 10 file is deflated as a whole, which dcmread would inflate to any size."""
    if _DEFLATED not in data:
        return False
    meta = read_dataset(BytesIO(data[132:]), False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    return bool(meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian)


@contextmanager
def silenced() -> Iterator[None]:
    """No warnings; not to be held where a generator yields, as it holds for the whole process."""
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield

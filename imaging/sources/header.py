"""The few attributes of a DICOM file that an index needs, read from its first kilobytes.

Reads as far as the Series Instance UID (0020,000E), which comes before every pixel, and no further: 64 KiB
do for nearly all files, and a longer header is read with a larger window up to `MAX_WINDOW`. Pixels are
neither read nor judged. Of a deflated file a bounded part is inflated. pydicom's own messages, which quote
values, are dropped.
"""

import io
import os
import zlib
from dataclasses import dataclass, field

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from imaging import foreign

WINDOW = 64 * 2**10
MAX_WINDOW = 64 * 2**20
_KEYWORDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyDate",
    "Modality",
    "SeriesDescription",
    "PatientID",
    "BodyPartExamined",
    "StudyInstanceUID",
    "SeriesInstanceUID",
)
_TAGS: list[BaseTag | int] = [Tag(keyword) for keyword in _KEYWORDS]
_LAST = 0x0020_000E
_CHARACTER_SET = Tag("SpecificCharacterSet")
_LONGEST = 1024
"""Characters of a value; the longest that is allowed among those read here has 64."""
_DEFLATED = DeflatedExplicitVRLittleEndian.encode()
_PLAIN = ExplicitVRLittleEndian.encode().ljust(len(_DEFLATED), b"\0")
_INFLATION = 16
"""How many times the window a deflated one may become: headers deflate to a third, bombs to a thousandth."""


class HeaderRejected(Exception):
    """A file that the index cannot use; `code` is one of `header.*` or `file.*`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Header:
    """What a file says of itself; empty = not said. It names a patient: not for printing."""

    sop_class: str = field(repr=False)
    instance: str = field(repr=False)
    study_date: str = field(repr=False)
    modality: str = field(repr=False)
    description: str = field(repr=False)
    patient: str = field(repr=False)
    body_part: str = field(repr=False)
    study: str = field(repr=False)
    series: str = field(repr=False)


def read(path: str) -> Header:
    """The header of a Part 10 file; links are not followed.

    Raises:
        HeaderRejected: `file.unreadable`, `header.not_dicom`, `header.malformed`, `header.truncated`,
            `header.too_long`, `header.no_patient`, `header.no_instance`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            window = WINDOW
            while (header := _parse(os.pread(descriptor, window, 0), whole=window)) is None:
                if window >= MAX_WINDOW:
                    raise HeaderRejected("header.too_long")
                window *= 32
        finally:
            os.close(descriptor)
    except OSError as error:
        raise HeaderRejected("file.unreadable") from error
    if not header.patient:
        raise HeaderRejected("header.no_patient")
    if not (header.instance and header.series and header.study):
        raise HeaderRejected("header.no_instance")
    return header


def _parse(data: bytes, whole: int) -> Header | None:
    """The header in the first bytes of a file; None where `whole` bytes, all that were asked for, do not reach it."""
    if data[128:132] != b"DICM":
        raise HeaderRejected("header.not_dicom")
    reached = False

    def stop(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        nonlocal reached
        reached = bool(tag > _LAST)
        return reached

    try:
        with foreign.silenced():
            dataset = read_partial(io.BytesIO(_inflated(data)), stop_when=stop, specific_tags=[*_TAGS, _CHARACTER_SET])
            values = [_text(dataset.get(keyword)) for keyword in _KEYWORDS]
    except InvalidDicomError:
        raise HeaderRejected("header.not_dicom") from None
    except foreign.ERRORS:
        if len(data) == whole:
            return None
        raise HeaderRejected("header.malformed") from None
    if not reached:
        if len(data) == whole:
            return None
        raise HeaderRejected("header.truncated")  # the last value may be half of one
    return Header(*values)


def _inflated(data: bytes) -> bytes:
    """The same file without deflation, as far as the window and the bound reach."""
    end = 144 + int.from_bytes(data[140:144], "little")  # of the file meta information (PS3.10 7.1)
    if _DEFLATED not in data[:end]:
        return data
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[end:], _INFLATION * len(data))
    return data[:end].replace(_DEFLATED, _PLAIN) + inflated


def _text(value: object) -> str:
    if isinstance(value, MultiValue):
        value = "\\".join(str(one) for one in value)
    text = "" if value is None else str(value).strip(" \0").encode("utf-8", "replace").decode()
    if len(text) > _LONGEST:
        raise HeaderRejected("header.malformed")
    return text

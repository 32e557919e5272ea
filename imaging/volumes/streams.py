"""Whether pixel data are what their header declares: as long, of as many frames, of the shape that each stream states.

No pixel is decoded here. What a header may declare is limited by `codecs.check_size`.
"""

import struct
from collections.abc import Sequence

from pydicom import Dataset, uid
from pydicom.encaps import generate_frames

from imaging.volumes.headers import text
from imaging.volumes.rejection import ImageRejected, Rejection

UNCOMPRESSED = frozenset({uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian})
"""Transfer syntaxes whose pixels no codec reads; what is deflated as a whole is not taken."""

_GROWTH = 65_536
_JPEG, _JP2, _J2K = b"\xff\xd8", b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51"
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7})  # 0xF7: JPEG-LS


def check_file(dataset: Dataset, size: int) -> None:
    """Check that a file is as long as the uncompressed pixels that its header declares; of others nothing is said.

    Args:
        dataset: its header.
        size: of the whole file, bytes.

    Raises:
        ImageRejected: TRUNCATED.
    """
    if "Rows" not in dataset or dataset.file_meta.TransferSyntaxUID.is_compressed:
        return
    pixels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.SamplesPerPixel) * frame_count(dataset)
    if pixels * int(dataset.BitsAllocated) // 8 > size:
        raise ImageRejected(Rejection.TRUNCATED)


def frame_count(dataset: Dataset) -> int:
    """The declared number of frames, at least one.

    Raises:
        ImageRejected: MALFORMED.
    """
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames < 1:
        raise ImageRejected(Rejection.MALFORMED)
    return frames


def check(dataset: Dataset, wanted: Sequence[int] = ()) -> None:
    """Check that the pixel data have the size, or state the shape, that the header declares.

    Raises:
        ImageRejected: TRUNCATED, MALFORMED.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    rows, columns, frames = int(dataset.Rows), int(dataset.Columns), frame_count(dataset)
    size, samples = len(dataset.PixelData), int(dataset.SamplesPerPixel)
    expected = rows * columns * frames * samples * int(dataset.BitsAllocated) // 8
    if syntax in UNCOMPRESSED:
        subsampled = text(dataset, "PhotometricInterpretation") == "YBR_FULL_422"
        if size < (expected * 2 // 3 if subsampled else expected):
            raise ImageRejected(Rejection.TRUNCATED)
    elif size > 2 * expected + _GROWTH * frames:  # no codec doubles an image: more is a decompression bomb
        raise ImageRejected(Rejection.MALFORMED)
    elif syntax != uid.RLELossless:  # its decoders allocate what the header declares, and no more
        some = frozenset(wanted)
        for index, stream in enumerate(generate_frames(dataset.PixelData, number_of_frames=frames)):
            if (not some or index in some) and _stated_shape(stream) != (rows, columns):
                raise ImageRejected(Rejection.MALFORMED)


def _stated_shape(stream: bytes) -> tuple[int, int]:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream states (ITU-T T.81 B.2.2, T.87 C.2.2, T.800 A.5.1)."""
    if stream.startswith(_JP2):
        stream = stream[_codestream_start(stream) :]
    if stream.startswith(_J2K):
        width, height, left, top = struct.unpack_from(">8x4I", stream)
        return height - top, width - left
    if not stream.startswith(_JPEG):
        raise ImageRejected(Rejection.MALFORMED)
    at = 2
    while True:
        prefix, marker, length = struct.unpack_from(">BBH", stream, at)
        if prefix != 0xFF:
            raise ImageRejected(Rejection.MALFORMED)
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _FRAME_HEADERS:
            rows, columns = struct.unpack_from(">HH", stream, at + 5)
            return rows, columns
        else:
            at += 2 + max(length, 2)


def _codestream_start(stream: bytes) -> int:
    """Where the contiguous codestream box of a JP2 file begins (ITU-T T.800 I.4)."""
    at = 0
    while True:
        length, kind = struct.unpack_from(">I4s", stream, at)
        if kind == b"jp2c":
            return at + 8
        if length < 8:
            raise ImageRejected(Rejection.MALFORMED)
        at += length

"""Pixel decoders: which one reads which transfer syntax, in an order fixed here and not by what imports first.

Two decoders of one syntax can give different pixels for lossy data, so the name and version of the one that was
used goes into each manifest. Declared sizes are checked against limits, and pixel data against what is declared
(`streams`), before any decoder sees them: a small file cannot ask for gigabytes. All but pydicom's own RLE
decoder are native code that reads a hospital's bytes, and were seen to abort and to hang on damaged ones: they run
in a process of their own (`isolation`).
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder

from imaging.volumes import streams
from imaging.volumes.headers import text
from imaging.volumes.isolation import PROCESS, DecoderDied
from imaging.volumes.rejection import MAX_PIXELS, MAX_VOXELS, MIN_SIDE, ImageRejected, Rejection

_BITS_IN_ORDER = streams.UNCOMPRESSED - {uid.ExplicitVRBigEndian}

_LIBJPEG = ("pylibjpeg", "pylibjpeg-libjpeg")
_OPENJPEG = ("pylibjpeg", "pylibjpeg-openjpeg")
_GDCM = ("gdcm", "python-gdcm")
_JPEGLS = ("pyjpegls", "pyjpegls")

DECODERS = MappingProxyType(
    {
        uid.RLELossless: (("pydicom", "pydicom"),),
        uid.JPEGBaseline8Bit: (_GDCM, _LIBJPEG),
        uid.JPEGExtended12Bit: (_LIBJPEG, _GDCM),
        uid.JPEGLossless: (_GDCM, _LIBJPEG),
        uid.JPEGLosslessSV1: (_GDCM, _LIBJPEG),
        uid.JPEGLSLossless: (_JPEGLS, _GDCM),
        uid.JPEGLSNearLossless: (_JPEGLS, _GDCM),
        uid.JPEG2000Lossless: (_OPENJPEG, _GDCM),
        uid.JPEG2000: (_OPENJPEG, _GDCM),
        uid.HTJ2KLossless: (_OPENJPEG,),
        uid.HTJ2KLosslessRPCL: (_OPENJPEG,),
        uid.HTJ2K: (_OPENJPEG,),
    }
)
"""Transfer syntax -> (pydicom's name of a plugin, its package), tried in this order; libjpeg is an optional extra."""

_IN_PROCESS = streams.UNCOMPRESSED | {uid.RLELossless}
_PIXEL_ATTRIBUTES = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
)  # fmt: skip
_LOSSY = frozenset({uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless})
_MAYBE_LOSSY = frozenset({uid.JPEG2000, uid.HTJ2K})


def supported(syntax: str) -> bool:
    """Whether a decoder of the transfer syntax is installed."""
    return syntax in streams.UNCOMPRESSED or bool(_installed(syntax))


def is_lossy(dataset: Dataset) -> bool:
    """Whether the image was ever compressed with loss; a syntax that may be either counts unless the header denies."""
    syntax, said = dataset.file_meta.TransferSyntaxUID, text(dataset, "LossyImageCompression")
    return said == "01" or syntax in _LOSSY or (syntax in _MAYBE_LOSSY and said != "00")


def check_size(dataset: Dataset) -> None:
    """Check the declared size and format of the pixels, before they are decoded.

    Raises:
        ImageRejected: TOO_LARGE, TOO_SMALL, PIXEL_FORMAT, SYNTAX.
    """
    rows, columns, frames = int(dataset.Rows), int(dataset.Columns), streams.frame_count(dataset)
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if rows * columns > MAX_PIXELS or rows * columns * frames > MAX_VOXELS:
        raise ImageRejected(Rejection.TOO_LARGE)
    if min(rows, columns) < MIN_SIDE:
        raise ImageRejected(Rejection.TOO_SMALL)
    if (
        allocated not in (8, 16)
        or not 1 <= stored <= allocated
        or dataset.HighBit != stored - 1
        or dataset.PixelRepresentation not in (0, 1)
    ):
        raise ImageRejected(Rejection.PIXEL_FORMAT)
    if not supported(dataset.file_meta.TransferSyntaxUID):
        raise ImageRejected(Rejection.SYNTAX)


def decode(dataset: Dataset, *, colour: bool = False, wanted: Sequence[int] = ()) -> tuple[Iterator[NDArray[Any]], str]:
    """Decode the frames of a dataset that `check_size` passed; only within `headers.foreign_errors`.

    Args:
        dataset: with its pixel data.
        colour: whether samples come as (rows, columns, 3) RGB; otherwise (rows, columns) of stored values, with
            unused high bits cleared and the sign extended.
        wanted: indices of frames from 0, growing; all if empty.

    Returns:
        The (wanted) frames one after the other, and "package version" of the decoder.

    Raises:
        ImageRejected: TRUNCATED, MALFORMED, NO_PIXELS; SYNTAX if no installed decoder can read the stream.
    """
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise ImageRejected(Rejection.PIXEL_FORMAT)
    if "PixelData" not in dataset:
        raise ImageRejected(Rejection.NO_PIXELS)
    syntax = dataset.file_meta.TransferSyntaxUID
    streams.check(dataset, wanted)
    if syntax in streams.UNCOMPRESSED:
        return _frames(dataset, "", wanted, colour=colour), f"pydicom {_version('pydicom')}"
    for plugin, package in _installed(syntax):
        frames = _frames(dataset, plugin, wanted, colour=colour)
        try:
            first = next(frames)
        except (RuntimeError, ValueError, TypeError, NotImplementedError):
            continue  # the next decoder may know this stream; the manifest says which one did
        return _chained(first, frames), f"{package} {_version(package)}"
    raise ImageRejected(Rejection.SYNTAX if syntax == uid.JPEGExtended12Bit else Rejection.MALFORMED)


def _frames(dataset: Dataset, plugin: str, wanted: Sequence[int], *, colour: bool) -> Iterator[NDArray[Any]]:
    shape = (int(dataset.Rows), int(dataset.Columns))
    isolated = dataset.file_meta.TransferSyntaxUID not in _IN_PROCESS
    decoded = (_elsewhere if isolated else _here)(dataset, plugin, wanted, colour=colour)
    count = 0
    for frame in decoded:
        if frame.shape != (*shape, 3) if colour else frame.shape != shape or frame.dtype.kind not in "ui":
            raise ImageRejected(Rejection.MALFORMED)
        count += 1
        yield frame if colour else _used_bits(frame, int(dataset.BitsStored))
    expected = len(wanted) or streams.frame_count(dataset)
    if count != expected:
        raise ImageRejected(Rejection.TRUNCATED if count < expected else Rejection.MALFORMED)


def _here(dataset: Dataset, plugin: str, wanted: Sequence[int], *, colour: bool) -> Iterator[NDArray[Any]]:
    if dataset.BitsAllocated == 1 and dataset.file_meta.TransferSyntaxUID in _BITS_IN_ORDER:
        return _bits(dataset, wanted or range(streams.frame_count(dataset)))
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    decoded = decoder.iter_array(dataset, indices=wanted or None, raw=not colour, decoding_plugin=plugin)
    return (frame for frame, _ in decoded)


def _bits(dataset: Dataset, wanted: Iterable[int]) -> Iterator[NDArray[Any]]:
    """Frames of a bit a pixel, which follow each other without a gap (PS3.5 8.1.1): one may begin amid a byte.

    pydicom 3.0 begins each at the byte that it begins in.
    """
    shape, data = (int(dataset.Rows), int(dataset.Columns)), np.frombuffer(dataset.PixelData, np.uint8)
    size = shape[0] * shape[1]
    for index in wanted:
        begin, skipped = divmod(index * size, 8)
        there = np.unpackbits(data[begin : begin + (skipped + size + 7) // 8], bitorder="little")
        if there.size < skipped + size:
            raise ImageRejected(Rejection.TRUNCATED)
        yield there[skipped : skipped + size].reshape(shape)


def _elsewhere(dataset: Dataset, plugin: str, wanted: Sequence[int], *, colour: bool) -> Iterator[NDArray[Any]]:
    attributes: dict[str, int | str] = {keyword: int(dataset[keyword].value) for keyword in _PIXEL_ATTRIBUTES}
    attributes["PhotometricInterpretation"] = text(dataset, "PhotometricInterpretation")
    if dataset.SamplesPerPixel > 1:
        attributes["PlanarConfiguration"] = int(dataset.get("PlanarConfiguration") or 0)
    some = frozenset(wanted)
    for index, stream in enumerate(generate_frames(dataset.PixelData, number_of_frames=streams.frame_count(dataset))):
        if some and index not in some:
            continue
        try:
            frame = PROCESS.decode(
                plugin, str(dataset.file_meta.TransferSyntaxUID), attributes, bytes(stream), colour=colour
            )
        except DecoderDied:
            raise ImageRejected(Rejection.MALFORMED) from None
        if frame is None:
            raise ValueError("the decoder cannot read the frame")
        yield frame


def _used_bits(values: NDArray[Any], stored: int) -> NDArray[Any]:
    """Clear the unused high bits (old overlays hide there) and extend the sign, by shifting up and down."""
    unused = 8 * values.dtype.itemsize - stored
    ordered = values.astype(values.dtype.newbyteorder("="))
    shifted: NDArray[Any] = np.right_shift(np.left_shift(ordered, unused), unused) if unused else ordered
    return shifted


def _chained(first: NDArray[Any], rest: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    yield first
    yield from rest


@cache
def _installed(syntax: str) -> tuple[tuple[str, str], ...]:
    if syntax not in DECODERS:
        return ()
    available = get_decoder(syntax).available_plugins
    return tuple(
        (plugin, package) for plugin, package in DECODERS[uid.UID(syntax)] if plugin in available and _version(package)
    )


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""

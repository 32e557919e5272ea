"""Pixel data into the clean file: as it is where nothing has to change, blanked and uncompressed where it has.

What hides around pixels goes in either case: bits that no pixel uses (old overlays), bytes after the last
frame, comments and application segments inside JPEG and JPEG 2000 streams.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import DataElement, Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless

from imaging.deidentification.marks import mark_pixels
from imaging.deidentification.pixels import text_search
from imaging.deidentification.pixels.policy import Verdict
from imaging.deidentification.pixels.regions import Box
from imaging.deidentification.profile import Option, Profile
from imaging.deidentification.rejection import Quarantine, Quarantined
from imaging.deidentification.words import PatientWords
from imaging.volumes import codecs, streams
from imaging.volumes.headers import foreign_errors
from imaging.volumes.rejection import ImageRejected

_PIXELS, _FLOAT, _DOUBLE = 0x7FE0_0010, 0x7FE0_0008, 0x7FE0_0009
_JPEG = frozenset({"4.50", "4.51", "4.57", "4.70", "4.80", "4.81", "4.90", "4.91"})
"""Transfer syntaxes, below 1.2.840.10008.1.2., of streams with marker segments."""


def copy(dataset: Dataset, cleaned: Dataset, verdict: Verdict, profile: Profile, words: PatientWords) -> Counter[str]:
    """Put the pixels of a file into its cleaned header.

    Args:
        dataset: identifying, with pixel data or without.
        cleaned: changed in place.
        verdict: of `policy.judge`.
        profile: in force.
        words: of the patient.

    Returns:
        what was done, with counts.

    Raises:
        Quarantined: UNDECODABLE, OCR or TEXT.
    """
    done: Counter[str] = Counter()
    for tag in (_FLOAT, _DOUBLE):
        if tag in dataset:
            cleaned[tag] = dataset[tag]
    if _PIXELS not in dataset:
        return done
    try:
        with foreign_errors():
            _copy(dataset, cleaned, verdict, profile, words, done)
    except ImageRejected:
        raise Quarantined(Quarantine.UNDECODABLE) from None
    return done


def _copy(
    dataset: Dataset, cleaned: Dataset, verdict: Verdict, profile: Profile, words: PatientWords, done: Counter[str]
) -> None:
    searching = verdict.search and profile.pixels.text_search != "off"
    hide = verdict.hide
    if searching or hide or verdict.show:
        values = _decoded(dataset)
        if searching:
            hide += text_boxes(masked(values, hide, verdict.show), verdict, profile, words)
        if hide or verdict.show:
            blank = masked(values, hide, verdict.show)
            if searching and not verdict.all_text and text_boxes(blank, verdict, profile, words):
                raise Quarantined(Quarantine.TEXT)  # blanked, and still to be read: between frames or outside boxes
            done["pixels_blanked"] += 1
            _store(cleaned, blank)
        else:
            _unchanged(dataset, cleaned, done)
    else:
        _unchanged(dataset, cleaned, done)
    if profile.has(Option.CLEAN_PIXELS) and (searching or hide or verdict.show):
        mark_pixels(cleaned)  # not where nothing was looked for: the mark would promise a search


def text_boxes(values: NDArray[Any], verdict: Verdict, profile: Profile, words: PatientWords) -> tuple[Box, ...]:
    """Boxes of identifying text in some frames.

    Args:
        values: (frames, rows, columns), or with colours as a last axis.
        verdict: of `policy.judge`.
        profile: in force.
        words: of the patient.

    Raises:
        Quarantined: OCR; TEXT, if the profile says so.
    """
    count = len(values)
    chosen = sorted(set(np.linspace(0, count - 1, min(count, profile.pixels.text_frames)).round().astype(int)))
    found: set[Box] = set()
    for frame in chosen:
        lines = text_search.found_lines(text_search.grey(values[frame]), profile.pixels.text_seconds)
        found.update(text_search.identifying(lines, words))
        if verdict.all_text:
            found.update(text_search.any_text(lines))
    if found and profile.pixels.text_search == "quarantine":
        raise Quarantined(Quarantine.TEXT)
    return tuple(sorted(found))


def _decoded(dataset: Dataset) -> NDArray[Any]:
    """All frames: (frames, rows, columns), or (frames, rows, columns, 3) in RGB."""
    # Indices into a palette are no brightness in which text could be found or that could be blanked.
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        raise Quarantined(Quarantine.UNDECODABLE)
    codecs.check_size(dataset)
    frames, _ = codecs.decode(dataset, colour=int(dataset.SamplesPerPixel) == 3)
    return np.stack(list(frames))


def masked(values: NDArray[Any], hide: Sequence[Box], show: Sequence[Box]) -> NDArray[Any]:
    """A copy in which boxes, and what lies outside the regions shown, have the smallest value."""
    low = values.min()
    masked = np.full_like(values, low) if show else values.copy()
    for x0, y0, x1, y1 in show:
        masked[:, y0:y1, x0:x1] = values[:, y0:y1, x0:x1]
    for x0, y0, x1, y1 in hide:
        masked[:, y0:y1, x0:x1] = low
    return masked


def _store(cleaned: Dataset, values: NDArray[Any]) -> None:
    """Write decoded frames uncompressed, with a header that says so."""
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    vr = "OB" if values.dtype.itemsize == 1 else "OW"
    cleaned[_PIXELS] = DataElement(_PIXELS, vr, data + b"\0" * (len(data) % 2))
    if values.ndim == 4:
        cleaned.PhotometricInterpretation, cleaned.PlanarConfiguration = "RGB", 0
    cleaned.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    cleaned.set_original_encoding(is_implicit_vr=False, is_little_endian=True)


def _unchanged(dataset: Dataset, cleaned: Dataset, done: Counter[str]) -> None:
    """The pixel data as it is, without what hides around it."""
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    element = dataset[_PIXELS]
    if syntax.is_compressed:
        if syntax == RLELossless and _unused_bits(dataset) and dataset.SamplesPerPixel == 1:
            codecs.check_size(dataset)  # pydicom allocates what the header declares
            streams.check(dataset)
            # The plugin that pydicom would take first panics on damaged runs, which no `except Exception` catches.
            values = _without_unused(pixel_array(dataset, raw=True, decoding_plugin="pydicom"), dataset, done)
            if done["unused_bits_cleared"]:
                _store(cleaned, values.reshape(-1, *values.shape[-2:]))
                return
        number = int(dataset.get("NumberOfFrames") or 1)
        frames = list(generate_frames(element.value, number_of_frames=number))
        if str(syntax).removeprefix("1.2.840.10008.1.2.") in _JPEG:
            stripped = [_without_comments(frame) for frame in frames]
            done["comments_cleared"] += sum(one != other for one, other in zip(frames, stripped, strict=True))
            frames = stripped
        cleaned[_PIXELS] = DataElement(_PIXELS, "OB", encapsulate(frames))
        cleaned[_PIXELS].is_undefined_length = True
        return
    data = _exact(dataset, element.value)
    if _unused_bits(dataset):
        order = "<" if syntax.is_little_endian else ">"
        kind = "i" if dataset.PixelRepresentation else "u"
        values = np.frombuffer(data, dtype=f"{order}{kind}{dataset.BitsAllocated // 8}")
        data = _without_unused(values, dataset, done).astype(values.dtype).tobytes()
    cleaned[_PIXELS] = DataElement(_PIXELS, element.VR, data + b"\0" * (len(data) % 2))


def _exact(dataset: Dataset, data: bytes) -> bytes:
    """Native pixel data without what follows its last frame."""
    bits = int(dataset.BitsAllocated) * int(dataset.SamplesPerPixel)
    bits = bits * 2 // 3 if dataset.PhotometricInterpretation == "YBR_FULL_422" else bits
    pixels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
    size = (pixels * bits + 7) // 8
    if len(data) < size:
        raise Quarantined(Quarantine.UNDECODABLE)
    return data[:size]


def _unused_bits(dataset: Dataset) -> bool:
    return dataset.BitsAllocated in (8, 16, 32) and int(dataset.BitsStored) < int(dataset.BitsAllocated)


def _without_unused(values: NDArray[Any], dataset: Dataset, done: Counter[str]) -> NDArray[Any]:
    """Values with the bits that no pixel uses cleared, or filled with the sign."""
    unused = int(dataset.BitsAllocated) - int(dataset.BitsStored)
    if int(dataset.HighBit) != int(dataset.BitsStored) - 1:
        raise Quarantined(Quarantine.UNDECODABLE)
    cleared: NDArray[Any] = np.right_shift(np.left_shift(values, unused), unused)
    done["unused_bits_cleared"] += int(not np.array_equal(cleared, values))
    return cleared


def _without_comments(frame: bytes) -> bytes:
    """A JPEG or JPEG 2000 stream with its comments and foreign application segments filled with zeros.

    Lengths stay. APP0 (JFIF), APP8 (JPEG-LS) and APP14 (Adobe) say how to decode and stay.
    """
    stream, at = bytearray(frame), 2
    while at + 4 <= len(stream) and stream[at] == 0xFF:
        marker, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4], "big")
        if marker in (0xDA, 0x90) or length < 2:  # start of scan, start of tile part: the image itself
            break
        comment = marker in (0xFE, 0x64) or (0xE0 <= marker <= 0xEF and marker not in (0xE0, 0xE8, 0xEE))
        if comment:
            keep = 2 if marker == 0x64 else 0  # the registration value of a JPEG 2000 comment
            start = at + 4 + keep
            stream[start : at + 2 + length] = bytes(max(at + 2 + length - start, 0))
        at += 2 + length
    return bytes(stream)

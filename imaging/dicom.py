"""One two-dimensional DICOM image file into an array with its meaning settled, or a named rejection.

Reads projection radiographs (CR, DX and their secondary captures) in the transfer syntaxes that
pydicom reads by itself without inflating a whole file: uncompressed and RLE. Values come out with the
unused bits cleared (old overlays hide there), MONOCHROME1 and PresentationLUTShape INVERSE turned so
that larger is brighter, and the modality LUT or rescale applied (PS3.3 C.7.6.3, C.11.1). Windows (VOI
LUT) are not applied. Sizes are checked before memory is taken. Nothing here de-identifies: what it
returns still holds the patient's header and must go through `deidentify`.

Rejections carry a code and a fixed sentence; pydicom's own messages and warnings, which quote values,
are dropped.
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom.config
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from imaging.errors import ImagingError

MAX_FILE_BYTES = 256 * 2**20
"""A larger file is rejected unread."""

MAX_PIXELS = 64 * 2**20
"""Rows x columns above this are rejected before decoding; detectors have less than half of it."""

MIN_SIDE = 8
"""An image with fewer rows or columns is no radiograph."""

MODALITIES = frozenset({"CR", "DX"})
SOP_CLASSES = frozenset(
    {
        ComputedRadiographyImageStorage,
        DigitalXRayImageStorageForPresentation,
        DigitalXRayImageStorageForProcessing,
        SecondaryCaptureImageStorage,
    }
)
_UNCOMPRESSED = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})
_DEFLATED = DeflatedExplicitVRLittleEndian.encode("ascii")
_SYNTAXES = _UNCOMPRESSED | {RLELossless}

# What pydicom and its dependencies were seen to raise on damaged files, and what such code can raise.
_FOREIGN = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    LookupError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


class Rejection(StrEnum):
    """Why a file is not used; stable, listed in quarantine files."""

    UNREADABLE = "dicom.unreadable"
    NOT_DICOM = "dicom.not_dicom"
    TRUNCATED = "dicom.truncated"
    MALFORMED = "dicom.malformed"
    NO_PIXELS = "dicom.no_pixels"
    SYNTAX = "dicom.unsupported_syntax"
    MULTI_FRAME = "dicom.multi_frame"
    COLOUR = "dicom.colour"
    KIND = "dicom.not_a_radiograph"
    NO_PATIENT = "dicom.no_patient"
    NO_INSTANCE = "dicom.no_instance"
    TOO_LARGE = "dicom.too_large"
    TOO_SMALL = "dicom.too_small"
    PIXEL_FORMAT = "dicom.pixel_format"
    BURNED_IN = "dicom.burned_in"
    CONSTANT = "dicom.constant"


_SENTENCES = {
    Rejection.UNREADABLE: "the file cannot be read; check its permissions and the disk",
    Rejection.NOT_DICOM: "the file is not a DICOM file (no preamble, 'DICM' and file meta information)",
    Rejection.TRUNCATED: "the file ends before its image does; copy it again",
    Rejection.MALFORMED: "the file breaks the DICOM encoding rules; export it again",
    Rejection.NO_PIXELS: "the file holds no pixel data",
    Rejection.SYNTAX: "the transfer syntax is not supported; convert it to explicit VR little endian",
    Rejection.MULTI_FRAME: "the file holds more than one frame; only single images are read here",
    Rejection.COLOUR: "the image has colours; only MONOCHROME1 and MONOCHROME2 are read here",
    Rejection.KIND: "the modality or SOP class is not that of a projection radiograph",
    Rejection.NO_PATIENT: "the file has no PatientID, so that its patient cannot be protected as one",
    Rejection.NO_INSTANCE: "the file has no SOP instance UID",
    Rejection.TOO_LARGE: f"the file or image is larger than {MAX_FILE_BYTES} bytes or {MAX_PIXELS} pixels",
    Rejection.TOO_SMALL: f"the image has fewer than {MIN_SIDE} rows or columns",
    Rejection.PIXEL_FORMAT: "the pixels are not integers of 8 or 16 bits",
    Rejection.BURNED_IN: "the image may show patient data in its pixels (or does not say that it does not)",
    Rejection.CONSTANT: "all pixels have the same value",
}


class DicomRejected(ImagingError):
    """A file that is not used; `code` is one of `Rejection`."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(_SENTENCES[rejection], rejection.value)
        self.rejection = rejection


@dataclass(frozen=True)
class DicomHeader:
    """An accepted file whose pixels are not decoded yet. Identifies the patient; not for printing.

    Attributes:
        patient: PatientID without surrounding blanks, never empty.
        instance: SOP instance UID.
        modality: CR or DX.
        dataset: everything, as pydicom read it; not to be changed.
    """

    patient: str = field(repr=False)
    instance: str = field(repr=False)
    modality: str
    dataset: Dataset = field(repr=False)


@dataclass(frozen=True)
class DicomImage:
    """A decoded image with its identifying header; only `deidentify` should take it.

    Attributes:
        header: as read.
        pixels: (rows, columns), read-only, larger is brighter; uint8 or uint16 as stored, float32
            where a rescale, LUT or sign asks for it.
    """

    header: DicomHeader
    pixels: NDArray[Any] = field(repr=False)


def read(path: Path) -> DicomHeader:
    """Read a file and check all that its header promises.

    Raises:
        DicomRejected: see `Rejection`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise DicomRejected(Rejection.UNREADABLE) from error
    if len(data) > MAX_FILE_BYTES:
        raise DicomRejected(Rejection.TOO_LARGE)
    with foreign_errors():
        if data[128:132] != b"DICM":
            raise DicomRejected(Rejection.NOT_DICOM)
        # dcmread would inflate a deflated file whole, to any size. Its meta information names the syntax.
        if _DEFLATED in data and read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            raise DicomRejected(Rejection.SYNTAX)
        dataset = dcmread(BytesIO(data))
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        if syntax not in _SYNTAXES:
            raise DicomRejected(Rejection.SYNTAX if syntax else Rejection.NOT_DICOM)
        return _checked(dataset)


def decode(header: DicomHeader) -> DicomImage:
    """Decode the pixels of an accepted file.

    Raises:
        DicomRejected: TRUNCATED, MALFORMED or CONSTANT.
    """
    dataset = header.dataset
    with foreign_errors():
        stored = _stored_values(dataset)
        if dataset.PhotometricInterpretation == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE":
            signed = dataset.PixelRepresentation == 1
            stored = ~stored if signed else np.bitwise_xor(stored, stored.dtype.type((1 << dataset.BitsStored) - 1))
        pixels = _modality_values(stored, dataset)
        if not np.isfinite(pixels).all():
            raise DicomRejected(Rejection.MALFORMED)
        if pixels.min() == pixels.max():
            raise DicomRejected(Rejection.CONSTANT)
    pixels.flags.writeable = False
    return DicomImage(header, pixels)


@contextmanager
def foreign_errors() -> Iterator[None]:
    """Turn what pydicom raises into a rejection, and silence its warnings: both quote the file's values."""
    try:
        with warnings.catch_warnings(), pydicom.config.disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    except DicomRejected:
        raise
    except InvalidDicomError:
        raise DicomRejected(Rejection.NOT_DICOM) from None
    except EOFError:
        raise DicomRejected(Rejection.TRUNCATED) from None
    except _FOREIGN:
        raise DicomRejected(Rejection.MALFORMED) from None


def _checked(dataset: Dataset) -> DicomHeader:
    """The header, if the file is one that is read here; identity before pixels, pixels before memory."""
    patient = _text(dataset, "PatientID")
    instance = _text(dataset, "SOPInstanceUID")
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise DicomRejected(Rejection.PIXEL_FORMAT)
    if "PixelData" not in dataset:
        raise DicomRejected(Rejection.TRUNCATED if _ends_early(dataset) else Rejection.NO_PIXELS)
    if not patient:
        raise DicomRejected(Rejection.NO_PATIENT)
    if not instance:
        raise DicomRejected(Rejection.NO_INSTANCE)
    modality = _text(dataset, "Modality")
    sop_class = _text(dataset, "SOPClassUID")
    if modality not in MODALITIES or sop_class not in SOP_CLASSES:
        raise DicomRejected(Rejection.KIND)
    burned_in = _text(dataset, "BurnedInAnnotation")
    # A secondary capture is often a photographed screen: it must say that nothing is burned in.
    if burned_in != "NO" and (burned_in or sop_class == SecondaryCaptureImageStorage):
        raise DicomRejected(Rejection.BURNED_IN)
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise DicomRejected(Rejection.MULTI_FRAME)
    monochrome = _text(dataset, "PhotometricInterpretation") in ("MONOCHROME1", "MONOCHROME2")
    if dataset.SamplesPerPixel != 1 or not monochrome:
        raise DicomRejected(Rejection.COLOUR)
    _check_pixels(dataset)
    return DicomHeader(patient, instance, modality, dataset)


def _check_pixels(dataset: Dataset) -> None:
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if rows * columns > MAX_PIXELS:
        raise DicomRejected(Rejection.TOO_LARGE)
    if min(rows, columns) < MIN_SIDE:
        raise DicomRejected(Rejection.TOO_SMALL)
    if (
        allocated not in (8, 16)
        or not 1 <= stored <= allocated
        or dataset.HighBit != stored - 1
        or dataset.PixelRepresentation not in (0, 1)
    ):
        raise DicomRejected(Rejection.PIXEL_FORMAT)
    size, expected = len(dataset.PixelData), rows * columns * allocated // 8
    if dataset.file_meta.TransferSyntaxUID in _UNCOMPRESSED:
        if size < expected:
            raise DicomRejected(Rejection.TRUNCATED)
    elif size > 2 * expected + 65_536:  # RLE grows an image by 1 % at worst; more than that is a decompression bomb
        raise DicomRejected(Rejection.MALFORMED)


def _ends_early(dataset: Dataset) -> bool:
    """Whether a file without pixel data was cut: it should be an image and does not get to its shape."""
    shape = ("Rows", "Columns", "BitsAllocated", "PixelRepresentation")
    image = dataset.file_meta.get("MediaStorageSOPClassUID") in SOP_CLASSES
    return image and not all(keyword in dataset for keyword in shape)


def _stored_values(dataset: Dataset) -> NDArray[Any]:
    values = pixel_array(dataset)
    if values.shape != (dataset.Rows, dataset.Columns) or values.dtype.kind not in "ui":
        raise DicomRejected(Rejection.MALFORMED)
    unused = 8 * values.dtype.itemsize - int(dataset.BitsStored)
    # Shifting up and down clears the unused high bits, and extends the sign of signed values.
    shifted: NDArray[Any] = np.right_shift(np.left_shift(values, unused), unused) if unused else values.copy()
    return shifted


def _modality_values(stored: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
    if "ModalityLUTSequence" in dataset:
        return np.ascontiguousarray(apply_modality_lut(stored, dataset), dtype=np.float32)
    if (slope, intercept) != (1.0, 0.0) or stored.dtype.kind == "i":
        return (stored.astype(np.float64) * slope + intercept).astype(np.float32)
    return np.ascontiguousarray(stored)


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    if isinstance(value, MultiValue):
        value = "\\".join(str(one) for one in value)
    return "" if value is None else str(value).strip(" \0")

"""One two-dimensional DICOM image file into an array with its meaning settled, or a named rejection.

Reads projection radiographs (CR, DX and their secondary captures) in the transfer syntaxes that
pydicom reads by itself without inflating a whole file: uncompressed and RLE. Values come out with the
unused bits cleared (old overlays hide there), MONOCHROME1 and PresentationLUTShape INVERSE turned so
that larger is brighter, and the modality LUT or rescale applied (PS3.3 C.7.6.3, C.11.1). Windows (VOI
LUT) are not applied. Sizes are checked before memory is taken. Nothing here de-identifies: what it
returns still holds the patient's header and must go through `deidentification`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from imaging.volumes.headers import foreign_errors, load, parse, text
from imaging.volumes.rejection import MAX_PIXELS, MIN_SIDE, ImageRejected, Rejection

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
_SYNTAXES = _UNCOMPRESSED | {RLELossless}


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
    """A decoded image with its identifying header; only `deidentification` should take it.

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
        ImageRejected: see `Rejection`.
    """
    data = load(path)
    with foreign_errors():
        dataset = parse(data, pixels=True)
        if dataset.file_meta.TransferSyntaxUID not in _SYNTAXES:
            raise ImageRejected(Rejection.SYNTAX)
        return _checked(dataset)


def decode(header: DicomHeader) -> DicomImage:
    """Decode the pixels of an accepted file.

    Raises:
        ImageRejected: TRUNCATED, MALFORMED or CONSTANT.
    """
    dataset = header.dataset
    with foreign_errors():
        stored = _stored_values(dataset)
        if dataset.PhotometricInterpretation == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE":
            signed = dataset.PixelRepresentation == 1
            stored = ~stored if signed else np.bitwise_xor(stored, stored.dtype.type((1 << dataset.BitsStored) - 1))
        pixels = _modality_values(stored, dataset)
        if not np.isfinite(pixels).all():
            raise ImageRejected(Rejection.MALFORMED)
        if pixels.min() == pixels.max():
            raise ImageRejected(Rejection.CONSTANT)
    pixels.flags.writeable = False
    return DicomImage(header, pixels)


def _checked(dataset: Dataset) -> DicomHeader:
    """The header, if the file is one that is read here; identity before pixels, pixels before memory."""
    patient = text(dataset, "PatientID")
    instance = text(dataset, "SOPInstanceUID")
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise ImageRejected(Rejection.PIXEL_FORMAT)
    if "PixelData" not in dataset:
        raise ImageRejected(Rejection.TRUNCATED if _ends_early(dataset) else Rejection.NO_PIXELS)
    if not patient:
        raise ImageRejected(Rejection.NO_PATIENT)
    if not instance:
        raise ImageRejected(Rejection.NO_INSTANCE)
    modality = text(dataset, "Modality")
    sop_class = text(dataset, "SOPClassUID")
    if modality not in MODALITIES or sop_class not in SOP_CLASSES:
        raise ImageRejected(Rejection.KIND)
    burned_in = text(dataset, "BurnedInAnnotation")
    # A secondary capture is often a photographed screen: it must say that nothing is burned in.
    if burned_in != "NO" and (burned_in or sop_class == SecondaryCaptureImageStorage):
        raise ImageRejected(Rejection.BURNED_IN)
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise ImageRejected(Rejection.MULTI_FRAME)
    monochrome = text(dataset, "PhotometricInterpretation") in ("MONOCHROME1", "MONOCHROME2")
    if dataset.SamplesPerPixel != 1 or not monochrome:
        raise ImageRejected(Rejection.COLOUR)
    _check_pixels(dataset)
    return DicomHeader(patient, instance, modality, dataset)


def _check_pixels(dataset: Dataset) -> None:
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if rows * columns > MAX_PIXELS:
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
    size, expected = len(dataset.PixelData), rows * columns * allocated // 8
    if dataset.file_meta.TransferSyntaxUID in _UNCOMPRESSED:
        if size < expected:
            raise ImageRejected(Rejection.TRUNCATED)
    elif size > 2 * expected + 65_536:  # RLE grows an image by 1 % at worst; more than that is a decompression bomb
        raise ImageRejected(Rejection.MALFORMED)


def _ends_early(dataset: Dataset) -> bool:
    """Whether a file without pixel data was cut: it should be an image and does not get to its shape."""
    shape = ("Rows", "Columns", "BitsAllocated", "PixelRepresentation")
    image = dataset.file_meta.get("MediaStorageSOPClassUID") in SOP_CLASSES
    return image and not all(keyword in dataset for keyword in shape)


def _stored_values(dataset: Dataset) -> NDArray[Any]:
    values = pixel_array(dataset)
    if values.shape != (dataset.Rows, dataset.Columns) or values.dtype.kind not in "ui":
        raise ImageRejected(Rejection.MALFORMED)
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

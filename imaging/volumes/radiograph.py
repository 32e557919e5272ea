"""One two-dimensional DICOM image file into an array with its meaning settled, or a named rejection.

Reads single images of projection radiography (CR, DX, MG, intra-oral, their secondary captures) and ultrasound.
Values come out as `values` says: unused bits cleared, MONOCHROME1 and PresentationLUTShape INVERSE turned
so that larger is brighter, the modality LUT or rescale applied, no window. Colour is rejected, or turned into its
luminance where the caller asks for that. Nothing here de-identifies: what it returns still holds the patient's header.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.pixels.processing import apply_color_lut

from imaging.volumes import codecs, streams, values
from imaging.volumes.headers import foreign_errors, load, parse, text
from imaging.volumes.rejection import ImageRejected, Rejection
from imaging.volumes.values import Rescale

MODALITIES = frozenset({"CR", "DX", "IO", "MG", "PX", "RG", "US"})
SOP_CLASSES = frozenset(
    {
        uid.ComputedRadiographyImageStorage,
        uid.DigitalIntraOralXRayImageStorageForPresentation,
        uid.DigitalIntraOralXRayImageStorageForProcessing,
        uid.DigitalMammographyXRayImageStorageForPresentation,
        uid.DigitalMammographyXRayImageStorageForProcessing,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
        uid.SecondaryCaptureImageStorage,
        uid.UltrasoundImageStorage,
        uid.UltrasoundMultiFrameImageStorage,
    }
)

_BURNING = frozenset(
    {uid.SecondaryCaptureImageStorage, uid.UltrasoundImageStorage, uid.UltrasoundMultiFrameImageStorage}
)

Colour = Literal["reject", "luminance"]
"""What becomes of coloured images: nothing, or their brightness (ITU-R BT.601)."""

_COLOURS = frozenset({"RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})


@dataclass(frozen=True)
class DicomHeader:
    """An accepted file whose pixels are not decoded yet. Identifies the patient; not for printing.

    Attributes:
        patient: PatientID without surrounding blanks, never empty.
        instance: SOP instance UID.
        modality: one of `MODALITIES`.
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
            where a rescale, LUT, sign or colour asks for it.
        photometric: "as stored", "inverted" or "luminance", as in a manifest.
        rescale: "none", "linear" or "table", as in a manifest.
        decoder: name and version.
    """

    header: DicomHeader
    pixels: NDArray[Any] = field(repr=False)
    photometric: str
    rescale: str
    decoder: str


def read(path: Path, colour: Colour = "reject") -> DicomHeader:
    """Read a file and check all that its header promises.

    Raises:
        ImageRejected: see `Rejection`.
    """
    data = load(path)
    with foreign_errors():
        dataset = parse(data, pixels=True)
        if not codecs.supported(dataset.file_meta.TransferSyntaxUID):
            raise ImageRejected(Rejection.SYNTAX)
        return checked(dataset, colour)


def decode(header: DicomHeader) -> DicomImage:
    """Decode the pixels of an accepted file.

    Raises:
        ImageRejected: TRUNCATED, MALFORMED, CONSTANT; SYNTAX if no decoder can read this stream.
    """
    dataset = header.dataset
    with foreign_errors():
        photometric, rescale = text(dataset, "PhotometricInterpretation"), Rescale()
        coloured, palette = photometric in _COLOURS, photometric == "PALETTE COLOR"
        frames, decoder = codecs.decode(dataset, colour=coloured and not palette)
        (stored,) = frames
        if coloured:
            pixels = values.luminance(apply_color_lut(stored, dataset) if palette else stored)
            photometric = "luminance"
        else:
            photometric = "as stored"
            if values.is_inverse(dataset):
                stored, photometric = values.inverted(stored, int(dataset.BitsStored)), "inverted"
            rescale = Rescale.of(dataset)
            plain = rescale == Rescale() and rescale.table is None and stored.dtype.kind == "u"
            pixels = np.ascontiguousarray(stored) if plain else rescale.apply(stored)
        if pixels.min() == pixels.max():
            raise ImageRejected(Rejection.CONSTANT)
    pixels.flags.writeable = False
    return DicomImage(header, pixels, photometric, values.describe([rescale]), decoder)


def spacing(dataset: Dataset) -> tuple[tuple[float, float] | None, str]:
    """Millimetres between (rows, columns), and what they are measured at: "calibrated", "detector" or "none"."""
    for keyword, source in (("PixelSpacing", "calibrated"), ("ImagerPixelSpacing", "detector")):
        numbers = dataset.get(keyword)
        if numbers is not None and len(numbers) == 2 and np.isfinite(both := [float(one) for one in numbers]).all():
            if min(both) <= 0:
                raise ImageRejected(Rejection.MALFORMED)
            return (both[0], both[1]), source
    return None, "none"


def checked(dataset: Dataset, colour: Colour) -> DicomHeader:
    """The header, if the file is one that is read here; only within `headers.foreign_errors`.

    Raises:
        ImageRejected: see `Rejection`.
    """
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise ImageRejected(Rejection.PIXEL_FORMAT)
    if "PixelData" not in dataset:
        raise ImageRejected(Rejection.TRUNCATED if _ends_early(dataset) else Rejection.NO_PIXELS)
    check(dataset, colour)
    streams.check(dataset)
    patient, instance, modality = (text(dataset, name) for name in ("PatientID", "SOPInstanceUID", "Modality"))
    return DicomHeader(patient, instance, modality, dataset)


def check(dataset: Dataset, colour: Colour) -> None:
    """Check all that a header promises, without its pixels; only within `headers.foreign_errors`.

    Raises:
        ImageRejected: see `Rejection`.
    """
    if not text(dataset, "PatientID"):
        raise ImageRejected(Rejection.NO_PATIENT)
    if not text(dataset, "SOPInstanceUID"):
        raise ImageRejected(Rejection.NO_INSTANCE)
    modality = text(dataset, "Modality")
    sop_class = text(dataset, "SOPClassUID")
    if modality not in MODALITIES or sop_class not in SOP_CLASSES:
        raise ImageRejected(Rejection.KIND)
    burned_in = text(dataset, "BurnedInAnnotation")
    # Captures are photographed screens, ultrasound shows names: these must say that nothing is burned in.
    if burned_in != "NO" and (burned_in or sop_class in _BURNING):
        raise ImageRejected(Rejection.BURNED_IN)
    if streams.frame_count(dataset) != 1:
        raise ImageRejected(Rejection.MULTI_FRAME)
    photometric = text(dataset, "PhotometricInterpretation")
    monochrome = photometric in ("MONOCHROME1", "MONOCHROME2") and dataset.SamplesPerPixel == 1
    if not monochrome and (colour != "luminance" or photometric not in _COLOURS):
        raise ImageRejected(Rejection.COLOUR)
    codecs.check_size(dataset)


def _ends_early(dataset: Dataset) -> bool:
    """Whether a file without pixel data was cut: it should be an image and does not get to its shape."""
    shape = ("Rows", "Columns", "BitsAllocated", "PixelRepresentation")
    image = dataset.file_meta.get("MediaStorageSOPClassUID") in SOP_CLASSES
    return image and not all(keyword in dataset for keyword in shape)

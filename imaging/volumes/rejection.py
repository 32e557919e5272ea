"""Why an image is not used: every code, its one sentence, and the error that carries it.

Codes are stable, they are listed in quarantine files. Messages of pydicom, highdicom, nibabel and Pillow,
which quote values of the file, never get past this package.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from imaging.errors import ImagingError

MAX_FILE_BYTES = 2**31
"""A larger file is rejected unread (an enhanced CT of 2,000 slices has half of it)."""

MAX_PIXELS = 64 * 2**20
"""Rows x columns of one frame above this are rejected before decoding; detectors have less than half of it."""

MAX_VOXELS = 2**30
"""Voxels of one volume above this are rejected before decoding; 512 x 512 x 4,096."""

MIN_SIDE = 8
"""An image with fewer rows or columns shows nothing."""


class Rejection(StrEnum):
    """Why a file, or every file of a stack, is not used."""

    UNREADABLE = "dicom.unreadable"
    NOT_DICOM = "dicom.not_dicom"
    TRUNCATED = "dicom.truncated"
    MALFORMED = "dicom.malformed"
    NO_PIXELS = "dicom.no_pixels"
    SYNTAX = "dicom.unsupported_syntax"
    MULTI_FRAME = "dicom.multi_frame"
    COLOUR = "dicom.colour"
    KIND = "dicom.not_a_radiograph"
    CLASS = "dicom.not_an_image"
    NO_PATIENT = "dicom.no_patient"
    NO_INSTANCE = "dicom.no_instance"
    TOO_LARGE = "dicom.too_large"
    TOO_SMALL = "dicom.too_small"
    PIXEL_FORMAT = "dicom.pixel_format"
    BURNED_IN = "dicom.burned_in"
    CONSTANT = "dicom.constant"
    CHANGED = "dicom.changed"

    LOCALIZER = "series.localizer"
    DERIVED = "series.derived"
    SCREEN_SAVE = "series.screen_save"
    DUPLICATE = "series.duplicate_instance"
    CONFLICT = "series.conflicting_instances"
    MIXED_PATIENTS = "series.mixed_patients"
    NO_GEOMETRY = "series.no_geometry"
    NO_RESCALE = "series.no_rescale"
    TILT = "series.gantry_tilt"
    MISSING_SLICE = "series.missing_slice"
    IRREGULAR_SPACING = "series.irregular_spacing"
    SHIFTED = "series.shifted_slices"
    AMBIGUOUS = "series.ambiguous_frames"

    PICTURE = "picture.not_a_picture"
    PICTURE_MODE = "picture.pixel_format"
    PICTURE_ROTATED = "picture.rotated"
    NIFTI = "nifti.malformed"
    NIFTI_ORIENTATION = "nifti.no_orientation"
    NIFTI_CONFLICT = "nifti.conflicting_orientations"
    NIFTI_SHEARED = "nifti.sheared"
    NIFTI_UNITS = "nifti.units"
    NIFTI_SHAPE = "nifti.shape"
    NIFTI_VALUES = "nifti.not_finite"


SENTENCES = MappingProxyType(
    {
        Rejection.UNREADABLE: "the file cannot be read; check its permissions and the disk",
        Rejection.NOT_DICOM: "the file is not a DICOM file (no preamble, 'DICM' and file meta information)",
        Rejection.TRUNCATED: "the file ends before its image does; copy it again",
        Rejection.MALFORMED: "the file breaks the encoding rules; export it again",
        Rejection.NO_PIXELS: "the file holds no pixel data",
        Rejection.SYNTAX: "the transfer syntax is not supported; convert it to explicit VR little endian",
        Rejection.MULTI_FRAME: "the file holds more than one frame, which are not slices of a volume",
        Rejection.COLOUR: "the image has colours; read it with colour='luminance' if its brightness is wanted",
        Rejection.KIND: "the modality or SOP class is not that of a projection radiograph or single image",
        Rejection.CLASS: "the SOP class is not one of the images that are read",
        Rejection.NO_PATIENT: "the file has no PatientID, so that its patient cannot be protected as one",
        Rejection.NO_INSTANCE: "the file has no SOP instance UID, or as a slice no series instance UID",
        Rejection.TOO_LARGE: f"the file, image or volume is larger than {MAX_FILE_BYTES} bytes, {MAX_PIXELS} pixels a "
        f"frame or {MAX_VOXELS} voxels",
        Rejection.TOO_SMALL: f"the image has fewer than {MIN_SIDE} rows or columns",
        Rejection.PIXEL_FORMAT: "the pixels are not integers of 8 or 16 bits",
        Rejection.BURNED_IN: "the image may show patient data in its pixels (or does not say that it does not)",
        Rejection.CONSTANT: "all pixels have the same value",
        Rejection.CHANGED: "the file changed while it was read; copy it again",
        Rejection.LOCALIZER: "a localizer (scout) is no part of the volume",
        Rejection.DERIVED: "the image was computed from others (DERIVED, SECONDARY); use the original series",
        Rejection.SCREEN_SAVE: "a screen save or report page is no image of the patient",
        Rejection.DUPLICATE: "the same instance was read from another file already",
        Rejection.CONFLICT: "files with the same SOP instance UID differ; keep the right one",
        Rejection.MIXED_PATIENTS: "files of one series name several patients",
        Rejection.NO_GEOMETRY: "a slice has no position, orientation, pixel spacing or frame of reference",
        Rejection.NO_RESCALE: "a CT or PET slice does not say how values become HU or activity (slope, intercept)",
        Rejection.TILT: "the slices are not stacked at right angles (gantry tilt); resample the series before",
        Rejection.MISSING_SLICE: "a slice is missing; send the series again",
        Rejection.IRREGULAR_SPACING: "the distances between slices differ by more than 1 % and 0.01 mm",
        Rejection.SHIFTED: "slices are shifted within their planes against each other",
        Rejection.AMBIGUOUS: "several slices share a position, and nothing tells which belong together",
        Rejection.PICTURE: "the file is no PNG or JPEG picture that can be decoded",
        Rejection.PICTURE_MODE: "the picture is not greyscale of 8 or 16 bits",
        Rejection.PICTURE_ROTATED: "the picture asks to be rotated when shown (EXIF); store it upright",
        Rejection.NIFTI: "the file is no NIfTI-1 or NIfTI-2 image that can be decoded",
        Rejection.NIFTI_ORIENTATION: "the image does not say how it lies in the patient (qform and sform codes are 0)",
        Rejection.NIFTI_CONFLICT: "qform and sform of the image disagree",
        Rejection.NIFTI_SHEARED: "the axes of the image are not at right angles; resample it before",
        Rejection.NIFTI_UNITS: "the spatial units of the image are not millimetres",
        Rejection.NIFTI_SHAPE: "the image has neither three nor four dimensions",
        Rejection.NIFTI_VALUES: "the image holds values that are no numbers (NaN or infinite); replace them before",
    }
)


class ImageRejected(ImagingError):
    """An image that is not used; `code` is one of `Rejection`."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(SENTENCES[rejection], rejection.value)
        self.rejection = rejection


@dataclass(frozen=True)
class Rejected:
    """A file that is not used. The path is this hospital's own and not for printing."""

    path: Path = field(repr=False)
    rejection: Rejection

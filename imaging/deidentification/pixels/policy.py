"""Which files may pass by what their headers say, before any pixel is looked at.

Allow-lists, as a list of what is forbidden never ends. A header may lie; what it admits is believed.
"""

import re
from dataclasses import dataclass

import pydicom.uid
from pydicom import Dataset
from pydicom.uid import UID, MediaStorageDirectoryStorage

from imaging.deidentification.pixels.regions import Box, of_device, ultrasound_regions
from imaging.deidentification.profile import Option, Profile
from imaging.deidentification.rejection import Quarantine, Quarantined
from imaging.errors import ImagingError
from imaging.volumes.headers import text

_NO_PICTURE = (
    "BasicTextSRStorage",
    "EnhancedSRStorage",
    "ComprehensiveSRStorage",
    "Comprehensive3DSRStorage",
    "KeyObjectSelectionDocumentStorage",
    "RTStructureSetStorage",
    "RTPlanStorage",
    "RTDoseStorage",
    "SegmentationStorage",
    "ParametricMapStorage",
    "SpatialRegistrationStorage",
)
"""Their pixels, if any, are numbers of voxels."""

_IMAGES = (
    "CTImageStorage",
    "EnhancedCTImageStorage",
    "LegacyConvertedEnhancedCTImageStorage",
    "MRImageStorage",
    "EnhancedMRImageStorage",
    "LegacyConvertedEnhancedMRImageStorage",
    "PositronEmissionTomographyImageStorage",
    "EnhancedPETImageStorage",
    "NuclearMedicineImageStorage",
    "ComputedRadiographyImageStorage",
    "DigitalXRayImageStorageForPresentation",
    "DigitalXRayImageStorageForProcessing",
    "DigitalMammographyXRayImageStorageForPresentation",
    "DigitalMammographyXRayImageStorageForProcessing",
    "BreastTomosynthesisImageStorage",
    "XRayAngiographicImageStorage",
    "XRayRadiofluoroscopicImageStorage",
    "UltrasoundImageStorage",
    "UltrasoundMultiFrameImageStorage",
)
_SCREEN = re.compile(r"dose (report|record|info)|patient protocol|screen ?(save|shot|capture)", re.IGNORECASE)
_ULTRASOUND = ("UltrasoundImageStorage", "UltrasoundMultiFrameImageStorage")


@dataclass(frozen=True)
class Verdict:
    """A file may pass, with these changes.

    Attributes:
        hide: boxes to blank.
        show: if not empty, everything outside these boxes is blanked.
        search: whether its pixels are a picture in which text is to be searched.
        all_text: whether all text goes, as the file says that something is burned in.
    """

    hide: tuple[Box, ...] = ()
    show: tuple[Box, ...] = ()
    search: bool = True
    all_text: bool = False


def sop_classes(profile: Profile) -> frozenset[UID]:
    """What may pass.

    Raises:
        ImagingError: `profile.invalid`: a name is not that of a SOP class.
    """
    names = profile.pixels.sop_classes
    if names is None:
        names = _NO_PICTURE + _IMAGES
    found = [getattr(pydicom.uid, name, None) for name in names]
    if not all(isinstance(uid, UID) and uid.type == "SOP Class" for uid in found):
        raise ImagingError("pixels.sop_classes of the profile names what is no SOP class", "profile.invalid")
    return frozenset(uid for uid in found if uid is not None)


def judge(dataset: Dataset, profile: Profile, allowed: frozenset[UID]) -> Verdict:
    """Whether a file may pass, by its header.

    Args:
        dataset: identifying.
        profile: in force.
        allowed: `sop_classes` of it.

    Raises:
        Quarantined: MEDIA_DIRECTORY, DOCUMENT, SOP_CLASS, SCREEN, BURNED_IN, ULTRASOUND.
    """
    sop_class = UID(text(dataset, "SOPClassUID"))
    if sop_class == MediaStorageDirectoryStorage or "DirectoryRecordSequence" in dataset:
        raise Quarantined(Quarantine.MEDIA_DIRECTORY)
    if "EncapsulatedDocument" in dataset:
        raise Quarantined(Quarantine.DOCUMENT)
    if sop_class not in allowed:
        raise Quarantined(Quarantine.SOP_CLASS)
    name = sop_class.keyword
    if name in _NO_PICTURE:
        return Verdict(search=False)
    cleaning = profile.has(Option.CLEAN_PIXELS)
    if "SCREEN" in text(dataset, "ImageType").upper() or _SCREEN.search(text(dataset, "SeriesDescription")):
        raise Quarantined(Quarantine.SCREEN)
    burned_in = text(dataset, "BurnedInAnnotation")
    # A class of other images is often a photographed screen: it must say that nothing is burned in.
    silent = burned_in == "" and "PixelData" in dataset and name not in _IMAGES
    doubtful = burned_in not in ("", "NO") or silent
    if doubtful and profile.pixels.burned_in != "blank":
        raise Quarantined(Quarantine.BURNED_IN)
    hide = of_device(dataset) if cleaning else ()
    show: tuple[Box, ...] = ()
    if name in _ULTRASOUND or text(dataset, "Modality") == "US":
        show = ultrasound_regions(dataset) if cleaning else ()
        if not (show or hide) and burned_in != "NO":
            raise Quarantined(Quarantine.ULTRASOUND)
    return Verdict(hide, show, search=True, all_text=doubtful)

"""What the codes on a quarantine list mean, from all who put files there, for pages and documentation."""

from collections.abc import Mapping
from types import MappingProxyType

from imaging.deidentification import rejection as deidentification
from imaging.volumes import rejection as volumes

INDEXED: Mapping[str, str] = MappingProxyType(
    {
        "file.not_regular": "a link, or no file at all; links are not followed",
        "file.unreadable": "the file cannot be read; check its permissions and the disk",
        "header.not_dicom": "the file is not a DICOM file; nothing need be done where none was meant",
        "header.truncated": "the file ends within its header; copy it again",
        "header.malformed": "the header breaks the encoding rules; export the file again",
        "header.too_long": "a value of the header is longer than the standard allows; export the file again",
        "header.no_patient": "the file has no PatientID, so that its patient cannot be protected as one",
        "header.no_instance": "the file has no SOP instance UID",
        "duplicate.instance": "the same instance is in two series; keep the right one",
        "duplicate.pixels": "the same pixels were read already, perhaps as another patient; remove one of them",
        "listing.several_volumes": "a listed file holds several volumes; write each to a file of its own",
        "listing.spacing_contradicts": "the listed spacing is not that of the file; correct the listing",
        "mask.missing": "an image of a segmentation has no mask",
        "mask.several": "an image has several masks; keep the one that the study asks for",
        "mask.geometry": "the mask does not lie on the image's voxels; resample it onto them",
        "mask.outside": "the mask has voxels outside the image; use the mask of this series",
        "mask.frame_of_reference": "the mask belongs to another frame of reference; use the mask of this series",
        "mask.value": "the mask has a value that means no class; declare all that occur in the labelling file",
        "mask.two_dimensional": "a mask of a volume was given for an image without a third dimension",
        "report.missing": "no structured report of the image's study says its label",
        "report.several": "several structured reports say the label; keep the one that holds",
        "report.two_values": "a structured report says two different things of what is asked",
        "report.value": "a report has a value that means no class; declare all that occur in the labelling file",
        "report.unit": "a measurement is in another unit than the labelling file asks for; none is converted",
    }
)
"""Of the index of files, of listings, of the intake, of masks that are often wrong, and of reports."""

SENTENCES: Mapping[str, str] = MappingProxyType(
    {str(code.value): sentence for code, sentence in deidentification.SENTENCES.items()}
    | {str(code.value): sentence for code, sentence in volumes.SENTENCES.items()}
    | dict(INDEXED)
)
"""Code -> what it means and what to do."""

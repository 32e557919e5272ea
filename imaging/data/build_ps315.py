"""Write `ps315_basic_profile.json`: DICOM PS3.15 Table E.1-1, Basic Application Level Confidentiality Profile.

The rows (tag and action code) are facts of the standard; they are read from the PyPI package
dicom-anonymizer, which carries edition 2026c. Run it only to move to another edition:

    pip install dicom-anonymizer==2.1.0
    python -m imaging.data.build_ps315 > imaging/data/ps315_basic_profile.json
"""

import importlib
import json
import sys

EDITION = "2026c"
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


def table() -> dict[str, object]:
    """The whole data file as plain JSON values."""
    source = importlib.import_module(_SOURCE)
    rows: dict[str, str] = {}
    patterns = {"ggggeeee where gggg is odd": "X"}  # the package treats private groups apart from its lists
    for code, name in _LISTS.items():
        for tag in getattr(source, name):
            (rows if len(tag) == 2 else patterns)[_written(tag)] = code
    return {
        "title": "DICOM PS3.15 Table E.1-1, Basic Application Level Confidentiality Profile",
        "edition": EDITION,
        "source": "facts of the DICOM standard (NEMA), read from dicom-anonymizer 2.1.0",
        "licence": "dicom-anonymizer: BSD-3-Clause, Copyright 2020 Kitware Europe",
        "patterns": dict(sorted(patterns.items())),
        "rows": dict(sorted(rows.items())),
    }


def _written(tag: tuple[int, ...]) -> str:
    """`(group, element)` as eight hex digits; in `(group, element, masks)` a masked digit is an x."""
    digits = f"{tag[0]:04x}{tag[1]:04x}"
    masks = f"{tag[2]:04x}{tag[3]:04x}" if len(tag) == 4 else "f" * 8
    return "".join(digit if mask == "f" else "x" for digit, mask in zip(digits, masks, strict=True))


if __name__ == "__main__":
    json.dump(table(), sys.stdout, indent=1)
    sys.stdout.write("\n")

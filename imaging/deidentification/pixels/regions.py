"""Parts of an image where text is known to be: by rules for devices, and by an ultrasound image's own regions.

The rules are data (`data/device_regions.json`). A rule whose conditions hold adds its boxes; several may.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from pydicom import Dataset

from imaging.volumes.headers import text

Box: TypeAlias = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, from the upper left corner; the second corner is outside."""


@cache
def device_rules() -> tuple[dict[str, Any], ...]:
    """The rules that this package carries."""
    data = json.loads((files("imaging.deidentification") / "data" / "device_regions.json").read_text("utf-8"))
    return tuple(data["rules"])


def of_device(dataset: Dataset) -> tuple[Box, ...]:
    """The boxes of all rules that fit an image's header; empty when none does."""
    found = {
        tuple(box)
        for rule in device_rules()
        if all(any(_holds(dataset, *test) for test in tests) for tests in rule["where"])
        for box in rule["boxes"]
    }
    return tuple(sorted((x0, y0, x1, y1) for x0, y0, x1, y1 in found))


def ultrasound_regions(dataset: Dataset) -> tuple[Box, ...]:
    """The regions of an ultrasound image (PS3.3 C.8.5.5), which hold the picture and not the text around it."""
    regions = []
    for item in dataset.get("SequenceOfUltrasoundRegions") or ():
        corners = [item.get(f"RegionLocation{corner}") for corner in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
        if all(isinstance(corner, int) and corner >= 0 for corner in corners):
            x0, y0, x1, y1 = corners
            if x0 < x1 and y0 < y1:
                regions.append((x0, y0, x1 + 1, y1 + 1))
    return tuple(regions)


def _holds(dataset: Dataset, test: str, keyword: str, wanted: str) -> bool:
    value = text(dataset, keyword).lower()
    match test:
        case "contains":
            return any(each in value for each in wanted.lower().split("|"))
        case "equals":
            return value in wanted.lower().split("|")
        case "missing" | "empty":
            return not value
    raise RuntimeError("a device rule has a test that is not implemented")

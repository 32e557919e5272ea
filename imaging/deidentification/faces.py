"""Whether a scan may show a face: the surface of a head scan is a picture of one (45 CFR 164.514(b)(2)(i)(Q)).

By what the header says of the body part, and for CT by what a slice looks like: a ring of bone around
tissue, of a head's size. A guess in favour of "may show a face": it marks, it does not remove one.
"""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from imaging.volumes import codecs, streams
from imaging.volumes.headers import foreign_errors, text
from imaging.volumes.rejection import ImageRejected

_MODALITIES = frozenset({"CT", "MR", "PT", "NM"})
_PARTS = re.compile(
    r"head|brain|skull|face|facial|sinus|orbit|jaw|mandib|maxill|temporal|pituit|iac|neuro|cranio|cereb|ear\b|tmj",
    re.IGNORECASE,
)
_WORDS = re.compile(
    r"\b(head|brain|skull|fac(?:e|ial)|sinus(?:es)?|orbits?|neuro|mprage|cranial|pituitary|iac|cerebr\w+|kopf|hirn)\b",
    re.IGNORECASE,
)
_AIR, _BONE = -300, 300
_AREA = (60.0, 420.0)
"""Square centimetres of a head's cross-section."""


def may_show(dataset: Dataset) -> bool:
    """Whether the scan may show a face.

    Args:
        dataset: identifying, with pixels; of CT, one slice or frames.
    """
    if text(dataset, "Modality") not in _MODALITIES:
        return False
    part = text(dataset, "BodyPartExamined")
    regions = " ".join(str(item.get("CodeMeaning", "")) for item in dataset.get("AnatomicRegionSequence") or ())
    if _PARTS.search(f"{part} {regions}"):
        return True
    descriptions = ("StudyDescription", "SeriesDescription", "ProtocolName", "RequestedProcedureDescription")
    if _WORDS.search(" ".join(text(dataset, keyword).replace("_", " ") for keyword in descriptions)):
        return True
    if part or text(dataset, "Modality") != "CT" or "PixelData" not in dataset:
        return False
    return _is_skull(dataset)


def _is_skull(dataset: Dataset) -> bool:
    try:
        with foreign_errors():
            codecs.check_size(dataset)
            frames, _ = codecs.decode(dataset, wanted=[streams.frame_count(dataset) // 2])
            values = next(frames).astype(np.float32)
            spacing = [float(one) for one in dataset.PixelSpacing]
            slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
    except ImageRejected:
        return False
    return ring_of_bone(values * slope + intercept, spacing[0] * spacing[1] / 100)


def ring_of_bone(hounsfield: NDArray[Any], square_centimetres: float) -> bool:
    """Whether a slice is of a head's size, with bone around its rim and hardly any at its centre.

    Args:
        hounsfield: (rows, columns).
        square_centimetres: of one pixel.
    """
    body = hounsfield > _AIR
    area = float(body.sum()) * square_centimetres
    if not _AREA[0] <= area <= _AREA[1]:
        return False
    rows, columns = np.nonzero(body)
    radius = np.sqrt(area / square_centimetres / np.pi)
    distance = np.hypot(rows - rows.mean(), columns - columns.mean()) / radius
    bone = hounsfield[rows, columns] > _BONE
    rim, centre = (distance > 0.6) & (distance < 1.3), distance < 0.5
    if not rim.any() or not centre.any():
        return False
    angles = np.arctan2(rows - rows.mean(), columns - columns.mean())[rim & bone]
    around = len(np.unique((angles * 18 / np.pi).astype(int)))  # of 36 directions
    return around >= 26 and float(bone[centre].mean()) < 0.1

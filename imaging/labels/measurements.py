"""SR: labels out of coded findings and measurements of a report by TID 1500, read with highdicom.

Only codes and numbers become labels. Free text is never looked at, nor are names of observers. A report that says two
things of what was asked is refused, as no label can be both.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

from imaging.errors import ImagingError
from imaging.labels import opening
from imaging.labels.selection import Code

KINDS = frozenset({EnhancedSRStorage, ComprehensiveSRStorage, Comprehensive3DSRStorage})
TEMPLATE = "report.template"


@dataclass(frozen=True)
class Evaluation:
    """A qualitative evaluation: its name, and the class that each coded value means.

    Attributes:
        name: code of what is evaluated.
        classes: code of a value -> class; other values are refused.
        finding: only of groups with this finding type, where given.
    """

    name: Code
    classes: Mapping[Code, int]
    finding: Code | None = None


@dataclass(frozen=True)
class Measurement:
    """A numeric measurement: its name and unit; other units are refused, none is converted.

    Attributes:
        name: code of what is measured.
        unit: code of its unit (UCUM).
        finding: only of groups with this finding type, where given.
    """

    name: Code
    unit: Code
    finding: Code | None = None


@dataclass(frozen=True)
class Reported:
    """What a report says.

    Attributes:
        value: class or number; None if it does not say.
        reference: whose it is and of which images.
    """

    value: int | float | None
    reference: opening.Reference = field(repr=False)


def read(path: Path, asked: Evaluation | Measurement) -> Reported:
    """The label that a report gives.

    Raises:
        ImagingError: `label_file.*`, `report.template`: not by TID 1500; `report.value`: a value that means no class;
            `report.unit`; `report.two_values`.
    """
    from highdicom.sr import MeasurementReport
    from highdicom.sr.sop import Comprehensive3DSR, ComprehensiveSR, EnhancedSR

    dataset = opening.read(path, KINDS)
    readers = {
        EnhancedSRStorage: EnhancedSR,
        ComprehensiveSRStorage: ComprehensiveSR,
        Comprehensive3DSRStorage: Comprehensive3DSR,
    }
    with opening.reading():
        reference = opening.reference(dataset)
        content = readers[dataset.SOPClassUID].from_dataset(dataset, copy=False).content
        if not isinstance(content, MeasurementReport):
            raise ImagingError("the report does not follow TID 1500 (imaging measurement report)", TEMPLATE)
        found: set[int | float] = set()
        for group in (
            *content.get_image_measurement_groups(),
            *content.get_planar_roi_measurement_groups(),
            *content.get_volumetric_roi_measurement_groups(),
        ):
            if asked.finding is None or (group.finding_type and asked.finding.is_of(_code(group.finding_type))):
                found.update(_values(group, asked))
    if len(found) > 1:
        raise ImagingError("the report says two different things of what the study asks", "report.two_values")
    return Reported(found.pop() if found else None, reference)


def _values(group: Any, asked: Evaluation | Measurement) -> Iterable[int | float]:
    if isinstance(asked, Evaluation):
        for item in group.get_qualitative_evaluations():
            if asked.name.is_of(_code(item.name)):
                yield _class(asked, _code(item.value))
    else:
        for item in group.get_measurements():
            if asked.name.is_of(_code(item.name)):
                if not asked.unit.is_of(_code(item.unit)):
                    raise ImagingError("a measurement is in another unit than the study asks for", "report.unit")
                if not np.isfinite(item.value):
                    raise ImagingError("a measurement is not a finite number", "report.value")
                yield float(item.value)


def _class(asked: Evaluation, value: Code) -> int:
    for code, number in asked.classes.items():
        if code.is_of(value):
            return number
    raise ImagingError("an evaluation has a value that means no class of the study; declare it", "report.value")


def _code(concept: Any) -> Code:
    return Code(str(concept.value), str(concept.scheme_designator))

"""Labels out of structured reports: which report of a folder is of which images, and what it says of what is asked.

A report is of the images that it refers to in its own study; what it says of an earlier study, for comparison, is no
label of that one. Reports that do not follow TID 1500, or do not say what is asked, are as if they were not there; one
that says something else than the labelling knows puts its images aside.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from imaging.errors import ImagingError
from imaging.labels import measurements, opening
from imaging.labels.measurements import KINDS, TEMPLATE, Evaluation, Measurement
from imaging.labels.opening import Reference
from imaging.volumes.scanning import SourceStack

MISSING: Final = "report.missing"
SEVERAL: Final = "report.several"


@dataclass(frozen=True)
class Reports:
    """The structured reports of one patient, and what each refers to."""

    files: tuple[tuple[Path, Reference], ...] = field(repr=False)
    asked: Evaluation | Measurement

    @classmethod
    def of(cls, folder: Path, paths: Iterable[str], asked: Evaluation | Measurement) -> "Reports":
        """Open them; one that cannot be opened refers to nothing, and the image that it was for has no label."""
        found = []
        for path in paths:
            try:
                found.append((folder / path, opening.reference(opening.read(folder / path, KINDS))))
            except ImagingError:
                continue
        return cls(tuple(found), asked)

    def on(self, stack: SourceStack) -> Callable[[], int | float]:
        """What says the label of a stack; raises ImagingError: `report.*`."""
        instances = {str(file.dataset.get("SOPInstanceUID", "")) for file in stack.files}
        first = stack.files[0].dataset
        study, series = str(first.get("StudyInstanceUID", "")), str(first.get("SeriesInstanceUID", ""))
        own = tuple(
            path
            for path, reference in self.files
            if reference.study == study
            and (reference.instances & instances if reference.instances else series in reference.series)
        )
        return partial(_value, own, self.asked)


def _value(paths: tuple[Path, ...], asked: Evaluation | Measurement) -> int | float:
    values = []
    for path in paths:
        try:
            value = measurements.read(path, asked).value
        except ImagingError as error:
            if error.code != TEMPLATE:
                raise
            continue
        if value is not None:
            values.append(value)
    if not values:
        raise ImagingError("no structured report says the label of an image", MISSING)
    if len(values) > 1:
        raise ImagingError("several structured reports say the label of an image; keep the one that holds", SEVERAL)
    return values[0]

"""Which of the things that a file outlines are a study's classes: by their label or by their code.

The study declares, for each class, labels (compared without case and surrounding blanks) and codes (SNOMED CT or
another scheme, with the older SRT for SCT). A class may be made of several outlines; an outline belongs to one class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydicom.sr.coding import Code as PydicomCode

from imaging.errors import ImagingError


@dataclass(frozen=True)
class Code:
    """A coded concept: value and scheme, as ("108369006", "SCT")."""

    value: str
    scheme: str

    def is_of(self, other: "Code") -> bool:
        """Whether both mean the same, also across SNOMED's older (SRT) and newer (SCT) numbers."""
        return bool(PydicomCode(self.value, self.scheme, "") == PydicomCode(other.value, other.scheme, ""))


@dataclass(frozen=True)
class ClassRule:
    """What makes an outline one of a class.

    Attributes:
        name: of the class, the study's.
        labels: SegmentLabel or ROIName.
        codes: of the segmented property type or of the ROI's identification.
    """

    name: str
    labels: tuple[str, ...] = ()
    codes: tuple[Code, ...] = ()

    def takes(self, outline: "Outline") -> bool:
        """Whether an outline is of this class."""
        return outline.label.strip().casefold() in {label.strip().casefold() for label in self.labels} or any(
            code.is_of(other) for code in self.codes for other in outline.codes
        )


@dataclass(frozen=True)
class Outline:
    """A segment or region of interest of a file; its label is free text and not for printing."""

    number: int
    label: str = field(repr=False)
    codes: tuple[Code, ...] = ()


def assign(rules: Sequence[ClassRule], outlines: Sequence[Outline]) -> Mapping[int, int]:
    """Number of an outline -> index of its class; outlines of no class are left out.

    Raises:
        ImagingError: `mask.ambiguous`: an outline is of two classes, or two have one number; `mask.no_class`: none
            is of any class.
    """
    if len({outline.number for outline in outlines}) != len(outlines):
        raise ImagingError("two outlines of the file have the same number", "mask.ambiguous")
    found: dict[int, int] = {}
    for outline in outlines:
        classes = [index for index, rule in enumerate(rules) if rule.takes(outline)]
        if len(classes) > 1:
            names = " and ".join(rules[index].name for index in classes)
            raise ImagingError(
                f"an outline is of the classes {names} at once; make the study's rules exclusive", "mask.ambiguous"
            )
        if classes:
            found[outline.number] = classes[0]
    if not found:
        raise ImagingError(
            f"none of the {len(outlines)} outlines of the file is of a class of the study; compare labels and codes",
            "mask.no_class",
        )
    return found

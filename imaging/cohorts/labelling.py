"""What the labels of a cohort are: the file that a study's researcher hands to the hospitals beside the study.

Without one a label is 0 or 1. The kinds are those of `imaging.tasks`; a study takes a cohort only if kind and classes
are its own. The models are strict and frozen; whoever loads the file refuses unknown and duplicate keys.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from imaging.labels import kinds
from imaging.labels.kinds import Kind
from imaging.labels.selection import ClassRule, Code

Text = Annotated[str, StringConstraints(min_length=1, max_length=64)]
ClassName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _-]{0,39}$")]
SEGMENTATION = "segmentation"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CodedProperty(_Strict):
    """A code of the outlined property, as in DICOM SEG and RTSTRUCT."""

    value: Text
    scheme: Text


class Outlined(_Strict):
    """How a class of a segmentation is called in the files that draw it.

    Attributes:
        numbers: values of a NIfTI mask.
        labels: SegmentLabel or ROIName, in any case.
        codes: of the segmented property.
    """

    numbers: tuple[Annotated[int, Field(ge=1, le=65_535)], ...] = ()
    labels: tuple[Text, ...] = ()
    codes: tuple[CodedProperty, ...] = ()


class Labelling(_Strict):
    """The file.

    Attributes:
        classes: names; of a multi-class or multi-label classification, or of a segmentation without its background.
        outlined: of a segmentation: class -> what draws it.
    """

    format: Literal["collegium-labelling/1"]
    kind: Literal[
        "binary_classification",
        "multi_class_classification",
        "multi_label_classification",
        "regression",
        "segmentation",
    ]
    classes: tuple[ClassName, ...] = Field(default=(), max_length=kinds.MAX_CLASSES)
    outlined: dict[ClassName, Outlined] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Labelling":
        least = {"multi_class_classification": 2, "multi_label_classification": 1, SEGMENTATION: 1}.get(self.kind, 0)
        if len(self.classes) < least or (self.classes and not least) or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"{self.kind} needs {least or 'no'} classes{' or more, each once' if least else ''}")
        if set(self.outlined) != (set(self.classes) if self.kind == SEGMENTATION else set()):
            raise ValueError("'outlined' says of each class of a segmentation, and of nothing else, what draws it")
        if any(not (found.numbers or found.labels or found.codes) for found in self.outlined.values()):
            raise ValueError("every class in 'outlined' needs numbers, labels or codes")
        numbers = [number for found in self.outlined.values() for number in found.numbers]
        if len(set(numbers)) != len(numbers):
            raise ValueError("a number in 'outlined' means one class")
        return self

    @property
    def cells(self) -> Kind:
        """How the label table is written."""
        if self.kind == "multi_class_classification":
            return kinds.MultiClass(self.classes)
        if self.kind == "multi_label_classification":
            return kinds.MultiLabel(self.classes)
        if self.kind == "regression":
            return kinds.Regression()
        return Unwritten() if self.kind == SEGMENTATION else kinds.Binary()

    @property
    def rules(self) -> tuple[ClassRule, ...]:
        """The classes as SEG and RTSTRUCT name them."""
        return tuple(
            ClassRule(name, drawn.labels, tuple(Code(code.value, code.scheme) for code in drawn.codes))
            for name, drawn in ((name, self.outlined[name]) for name in self.classes)
        )

    @property
    def numbers(self) -> Mapping[str, tuple[int, ...]]:
        """The classes as NIfTI masks number them."""
        return {name: self.outlined[name].numbers for name in self.classes}


@dataclass(frozen=True)
class Unwritten:
    """No label in the table: it says only whose images are in which split, and files draw the rest."""

    columns: tuple[str, ...] = ()

    def read(self, cells: Sequence[str]) -> tuple[int, ...]:
        """See `Kind.read`."""
        return ()


BINARY = Labelling(format="collegium-labelling/1", kind="binary_classification")
"""What holds without a file."""

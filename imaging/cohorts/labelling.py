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
from imaging.labels.measurements import Evaluation, Measurement
from imaging.labels.selection import ClassRule, Code

Text = Annotated[str, StringConstraints(min_length=1, max_length=64)]
ClassName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _-]{0,39}$")]
SEGMENTATION = "segmentation"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CodedProperty(_Strict):
    """A coded concept: of an outlined property, as in DICOM SEG and RTSTRUCT, or in a structured report."""

    value: Text
    scheme: Text

    @property
    def code(self) -> Code:
        """As readers compare it."""
        return Code(self.value, self.scheme)


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


class CodedClass(CodedProperty):
    """A coded value of an evaluation, and the class that it means; of a binary classification "0" or "1"."""

    means: ClassName


class Reported(_Strict):
    """Where a structured report (TID 1500) says the label.

    Attributes:
        name: code of what is evaluated or measured.
        finding: only in groups with this finding type, where given.
        values: of a classification: what each coded value means; another value is no label.
        unit: of a regression: code of the unit (UCUM); none is converted.
    """

    name: CodedProperty
    finding: CodedProperty | None = None
    values: tuple[CodedClass, ...] = ()
    unit: CodedProperty | None = None


class Labelling(_Strict):
    """The file.

    With `reported` labels come from the structured reports of a folder of DICOM files, and the label table has no
    column of a label.

    Attributes:
        classes: names; of a multi-class or multi-label classification, or of a segmentation without its background.
        outlined: of a segmentation: class -> what draws it.
        reported: of a classification into one of several classes, or a regression: where a report says the label.
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
    reported: Reported | None = None

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

    @model_validator(mode="after")
    def _reported_fits_its_kind(self) -> "Labelling":
        said = self.reported
        if said is None:
            return self
        if self.kind == "regression":
            if said.unit is None or said.values:
                raise ValueError("'reported' of a regression needs a unit and no values")
            return self
        if not self._meant:
            raise ValueError("'reported' is for regression and for classification into one of several classes")
        if said.unit is not None or {value.means for value in said.values} != set(self._meant):
            raise ValueError("'reported' of a classification needs values for each class and no other, and no unit")
        codes = [value.code for value in said.values]
        if any(one.is_of(other) for i, one in enumerate(codes) for other in codes[:i]):
            raise ValueError("a value in 'reported' means one class")
        return self

    @property
    def _meant(self) -> tuple[str, ...]:
        """What a value of a report may mean, in the order of labels."""
        return {"binary_classification": ("0", "1"), "multi_class_classification": self.classes}.get(self.kind, ())

    @property
    def asked(self) -> Evaluation | Measurement | None:
        """What structured reports are asked; None: nothing."""
        said = self.reported
        if said is None:
            return None
        finding = said.finding.code if said.finding else None
        if said.unit is not None:
            return Measurement(said.name.code, said.unit.code, finding)
        classes = {value.code: self._meant.index(value.means) for value in said.values}
        return Evaluation(said.name.code, classes, finding)

    @property
    def cells(self) -> Kind:
        """How the label table is written."""
        if self.reported is not None:
            return Unwritten()
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
            ClassRule(name, drawn.labels, tuple(code.code for code in drawn.codes))
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

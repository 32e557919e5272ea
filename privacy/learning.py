"""What a study says of its learning: the task and the network, as names out of the allow-lists that `imaging` owns.

A key that a study leaves out and that was added after studies were first signed is not in its canonical
bytes: what was signed before stays signed.
"""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from privacy.configuration import Strict
from privacy.pretrained import Prefix, Pretrained

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Scalar = bool | int | float | str
Finite = Annotated[float, Field(ge=-1e9, le=1e9)]
LEAST_CLASSES = {"multi_class_classification": 2, "multi_label_classification": 1, "segmentation": 2}


def unsaid(default: object) -> Callable[[object], bool]:
    """For `exclude_if`: whether a key is as if it had been left out."""
    return lambda value: value == default


class Task(Strict):
    """What is learned: `imaging.tasks` has the kinds; `label` is the column of the label file.

    `dimensions` is 2 for images and 3 for volumes. `classes` are names in the order of their numbers: for
    `multi_class_classification` and `multi_label_classification` all, for `segmentation` with the background first.
    `range` is that of a regression's label, lowest and highest value. `loss` names one of several where a kind has
    them.
    """

    kind: Literal[
        "binary_classification",
        "multi_class_classification",
        "multi_label_classification",
        "regression",
        "segmentation",
    ]
    label: Name
    dimensions: Literal[2, 3] = Field(default=2, exclude_if=unsaid(2))
    classes: tuple[Name, ...] = Field(default=(), max_length=64, exclude_if=unsaid(()))
    range: tuple[Finite, Finite] | None = Field(default=None, exclude_if=unsaid(None))
    loss: Name | None = Field(default=None, exclude_if=unsaid(None))

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Task":
        least = LEAST_CLASSES.get(self.kind)
        if least is None and self.classes:
            raise ValueError(f"{self.kind} has no classes")
        if least is not None and (len(self.classes) < least or len(set(self.classes)) != len(self.classes)):
            raise ValueError(f"{self.kind} needs at least {least} classes of different names")
        if (self.kind == "regression") != (self.range is not None):
            raise ValueError("range is needed for a regression, and for nothing else")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError("range must be the lowest and the highest value")
        return self


class Component(Strict):
    """An entry of an allow-list (a model or a transform) with its parameters."""

    name: Name
    parameters: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)


class Model(Component):
    """The network; `seed` makes the public initial weights, which are the same at every silo.

    With `pretrained` they come from a file instead. Parameters that begin with one of `freeze` are neither trained nor
    sent.
    """

    seed: int = Field(ge=0, lt=2**31)
    pretrained: Pretrained | None = Field(default=None, exclude_if=unsaid(None))
    freeze: tuple[Prefix, ...] = Field(default=(), max_length=100, exclude_if=unsaid(()))

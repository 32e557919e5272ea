"""What the cells of a label mean: one kind of value a kind of task, read strictly.

A cell is taken as it is written: "01", "1.0" and "True" are no class, and no number is infinite.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

Value: TypeAlias = int | float | tuple[int, ...]
MAX_CLASSES = 255
"""Classes fit an unsigned byte, as masks do."""

_FINITE = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_LARGEST = 3.4e38  # of a float32, which is what a network is trained with
_BINARY = {"0": 0, "1": 1}


class Kind(Protocol):
    """How a label is written in a table."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that hold it, in the order of `read`."""

    def read(self, cells: Sequence[str]) -> Value:
        """The value of a row's cells, or ValueError with what they must be (a clause that follows "must be")."""


@dataclass(frozen=True)
class Binary:
    """0 or 1 in the column `label`."""

    columns: tuple[str, ...] = ("label",)

    def read(self, cells: Sequence[str]) -> int:
        """See `Kind.read`."""
        if cells[0] not in _BINARY:
            raise ValueError("0 or 1")
        return _BINARY[cells[0]]


@dataclass(frozen=True)
class MultiClass:
    """One of several classes in the column `label`, as its name; or as its index from 0 where classes have none.

    Attributes:
        classes: names, or how many there are.
    """

    classes: tuple[str, ...] | int
    columns: tuple[str, ...] = ("label",)

    def __post_init__(self) -> None:
        _refuse_unfit([str(i) for i in range(self.classes)] if isinstance(self.classes, int) else self.classes, least=2)

    def read(self, cells: Sequence[str]) -> int:
        """See `Kind.read`; the index of the class."""
        if isinstance(self.classes, int):
            if re.fullmatch("0|[1-9][0-9]{0,2}", cells[0]) is None or int(cells[0]) >= self.classes:
                raise ValueError(f"an integer from 0 to {self.classes - 1}")
            return int(cells[0])
        if cells[0] not in self.classes:
            raise ValueError(f"one of the study's classes: {', '.join(self.classes)}")
        return self.classes.index(cells[0])


@dataclass(frozen=True)
class MultiLabel:
    """0 or 1 for each of several findings, in a column of the finding's name.

    Attributes:
        classes: names of the findings, in the order of the value.
    """

    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        _refuse_unfit(self.classes, least=1)

    @property
    def columns(self) -> tuple[str, ...]:
        """See `Kind.columns`."""
        return self.classes

    def read(self, cells: Sequence[str]) -> tuple[int, ...]:
        """See `Kind.read`."""
        if not all(cell in _BINARY for cell in cells):
            raise ValueError("0 or 1")
        return tuple(_BINARY[cell] for cell in cells)


@dataclass(frozen=True)
class Regression:
    """A finite number in the column `label`, with a point for decimals."""

    columns: tuple[str, ...] = ("label",)

    def read(self, cells: Sequence[str]) -> float:
        """See `Kind.read`."""
        value = float(cells[0]) if _FINITE.fullmatch(cells[0]) else math.inf
        if not abs(value) <= _LARGEST:
            raise ValueError("a finite number")
        return value


def _refuse_unfit(classes: Sequence[str], least: int) -> None:
    if not least <= len(classes) <= MAX_CLASSES or len(set(classes)) != len(classes) or not all(classes):
        raise RuntimeError(f"there must be {least} to {MAX_CLASSES} classes, each with a name of its own")

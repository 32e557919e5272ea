"""Typed, bounded parameters of what a study may name: the validation of allow-lists.

A study is data from outside. Each model and transform declares its parameters here by type and
bounds; anything unknown, missing, of another type or out of bounds is refused before it reaches
MONAI or torch. There is no conversion: `"8"` is not 8, and `true` is not 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from imaging.errors import ImagingError

Scalar: TypeAlias = bool | int | float | str
Parameter: TypeAlias = Scalar | Sequence[Scalar]
Value: TypeAlias = Scalar | tuple[int, ...] | tuple[float, ...]
T = TypeVar("T")
REQUIRED = None
"""As a default: the study must give the parameter."""


class Kind(Protocol):
    """A parameter's type with its bounds."""

    @property
    def default(self) -> Value | None:
        """What is used when the study leaves the parameter out; None = it must not."""

    def read(self, given: Parameter) -> Value:
        """The value, or ValueError with what it must be (a clause that follows "must be")."""


@dataclass(frozen=True)
class Integer:
    """An integer in [low, high]; an odd one where `odd` is set (kernel sizes)."""

    low: int
    high: int
    default: int | None = REQUIRED
    odd: bool = False

    def read(self, given: Parameter) -> int:
        """See `Kind.read`."""
        if type(given) is not int or not self.low <= given <= self.high or (self.odd and given % 2 == 0):
            raise ValueError(f"an {'odd ' if self.odd else ''}integer from {self.low} to {self.high}")
        return given


@dataclass(frozen=True)
class Number:
    """A finite number in [low, high]; an integer is accepted and becomes a float."""

    low: float
    high: float
    default: float | None = REQUIRED

    def read(self, given: Parameter) -> float:
        """See `Kind.read`."""
        if isinstance(given, bool) or not isinstance(given, int | float) or not self.low <= given <= self.high:
            raise ValueError(f"a number from {self.low} to {self.high}")  # NaN is in no range
        return float(given)


@dataclass(frozen=True)
class Flag:
    """true or false."""

    default: bool | None = REQUIRED

    def read(self, given: Parameter) -> bool:
        """See `Kind.read`."""
        if type(given) is not bool:
            raise ValueError("true or false")
        return given


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]
    default: str | None = REQUIRED

    def read(self, given: Parameter) -> str:
        """See `Kind.read`."""
        if type(given) is not str or given not in self.words:
            raise ValueError(f"one of {', '.join(self.words)}")
        return given


@dataclass(frozen=True)
class Integers:
    """A list of `shortest` to `longest` integers in [low, high]."""

    low: int
    high: int
    shortest: int
    longest: int
    default: tuple[int, ...] | None = REQUIRED

    def read(self, given: Parameter) -> tuple[int, ...]:
        """See `Kind.read`."""
        if (
            isinstance(given, str)
            or not isinstance(given, Sequence)
            or not self.shortest <= len(given) <= self.longest
            or not all(type(item) is int and self.low <= item <= self.high for item in given)
        ):
            length = str(self.shortest) if self.shortest == self.longest else f"{self.shortest} to {self.longest}"
            raise ValueError(f"a list of {length} integers from {self.low} to {self.high}")
        return tuple(int(item) for item in given)


@dataclass(frozen=True)
class Numbers:
    """A list of `length` finite numbers in [low, high]; integers become floats."""

    low: float
    high: float
    length: int
    default: tuple[float, ...] | None = REQUIRED

    def read(self, given: Parameter) -> tuple[float, ...]:
        """See `Kind.read`."""
        one = Number(self.low, self.high)
        wanted = f"a list of {self.length} numbers from {self.low} to {self.high}"
        if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != self.length:
            raise ValueError(wanted)
        try:
            return tuple(one.read(item) for item in given)
        except ValueError as error:
            raise ValueError(wanted) from error


@dataclass(frozen=True)
class Values:
    """Checked parameters, each taken out as the type that it was declared with.

    A name or type that was not declared is a mistake of ours: RuntimeError.
    """

    _values: Mapping[str, Value]

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def integer(self, name: str) -> int:
        """The value of an `Integer`."""
        return self._take(name, int)

    def number(self, name: str) -> float:
        """The value of a `Number`."""
        return self._take(name, float)

    def flag(self, name: str) -> bool:
        """The value of a `Flag`."""
        return self._take(name, bool)

    def word(self, name: str) -> str:
        """The value of a `Choice`."""
        return self._take(name, str)

    def integers(self, name: str) -> list[int]:
        """The value of `Integers`."""
        return list(self._take(name, tuple))

    def numbers(self, name: str) -> list[float]:
        """The value of `Numbers`."""
        return list(self._take(name, tuple))

    def _take(self, name: str, kind: type[T]) -> T:
        value = self._values.get(name)
        if type(value) is not kind:
            raise RuntimeError(f"{name} was not declared as {kind.__name__}")
        return value


def read(owner: str, kinds: Mapping[str, Kind], given: Mapping[str, Parameter]) -> Values:
    """All parameters of `owner` (how errors call it), defaults filled in.

    Raises:
        ImagingError: `parameters.unknown`, `parameters.missing` or `parameters.invalid`.
    """
    unknown = sorted(set(given) - set(kinds))
    if unknown:
        raise ImagingError(
            f"{owner} has no parameter '{unknown[0]}'; it has {', '.join(sorted(kinds)) or 'none'}",
            "parameters.unknown",
        )
    values: dict[str, Value] = {}
    for name, kind in kinds.items():
        if name in given:
            try:
                values[name] = kind.read(given[name])
            except ValueError as error:
                raise ImagingError(f"{owner}: {name} must be {error}", "parameters.invalid") from error
        elif kind.default is not None:
            values[name] = kind.default
        else:
            raise ImagingError(f"{owner} needs the parameter '{name}'; add it to the study", "parameters.missing")
    return Values(values)

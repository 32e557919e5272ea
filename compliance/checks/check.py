"""A check and how it came out. What the evidence does not show is neither right nor wrong, and is said."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from privacy.errors import CollegiumError

_SAID = 3
"""So many findings stand in a line; a program gets all."""


class Outcome(StrEnum):
    """As it is printed."""

    OK = "ok"
    FAILED = "FAILED"
    NOT_SHOWN = "not shown"


@dataclass(frozen=True)
class Check:
    """One question, with an answer for each thing that is wrong or not shown.

    Attributes:
        name: what was checked.
        outcome: how it came out.
        findings: a sentence each; of a check that is ok, what was seen.
    """

    name: str
    outcome: Outcome
    findings: tuple[str, ...]

    @property
    def line(self) -> str:
        """For a person."""
        more = len(self.findings) - _SAID
        said = "; ".join(self.findings[:_SAID]) + (f"; and {more} more" if more > 0 else "")
        return f"{self.outcome:<9}  {self.name}" + (f": {said}" if said else "")


def conclude(name: str, problems: Iterable[str], gaps: Iterable[str] = (), seen: str = "") -> Check:
    """The check that found these problems, and could not be shown these things."""
    if found := tuple(dict.fromkeys(problems)):
        return Check(name, Outcome.FAILED, found)
    if missing := tuple(dict.fromkeys(gaps)):
        return Check(name, Outcome.NOT_SHOWN, missing)
    return Check(name, Outcome.OK, (seen,) if seen else ())


def attempt(name: str, check: Callable[[], Check]) -> Check:
    """The check, failed where the evidence has a form in which nothing can be checked."""
    try:
        return check()
    except CollegiumError as error:
        return Check(name, Outcome.FAILED, (str(error),))

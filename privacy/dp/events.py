"""What was done to a cohort, as frozen events: the only form in which privacy spend is stored.

An event names a mechanism and its public numbers, its unit and its neighbouring relation (an
unprotected event, which bounds nothing under any relation, names none). Its meaning never changes: a
later meaning takes another name, which this version refuses (tests/privacy/dp/event_vectors_v1.json).
An epsilon is computed from events each time it is needed (`privacy.dp.accounting`) and is never
stored or added. This module knows neither torch nor an accountant, and decodes nothing it does not know.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias, TypeVar

from privacy.digest import Json
from privacy.errors import CorruptState


@dataclass(frozen=True)
class DpSgdEvent:
    """Noisy gradient steps: the Poisson-subsampled Gaussian mechanism over patients.

    Attributes:
        sampling_rate: probability in (0, 1] with which each patient takes part in a step, on its own.
        noise_multiplier: standard deviation of the noise over the clip, positive.
        steps: number of such steps, at least 1.

    Raises:
        ValueError: a number is out of its range.
    """

    mechanism: ClassVar[str] = "dp_sgd"
    unit: ClassVar[str] = "patient"
    adjacency: ClassVar[str] = "add_remove"
    noise_at: ClassVar[str] = "local"

    sampling_rate: float
    noise_multiplier: float
    steps: int

    def __post_init__(self) -> None:
        if not 0 < self.sampling_rate <= 1:
            raise ValueError("sampling_rate must be in (0, 1]")
        if not (math.isfinite(self.noise_multiplier) and self.noise_multiplier > 0):
            raise ValueError("noise_multiplier must be positive and finite")
        _check_steps(self.steps)


@dataclass(frozen=True)
class UnprotectedEvent:
    """Training steps without noise: their epsilon is infinite, and nothing later makes it finite.

    Raises:
        ValueError: `steps` is less than 1.
    """

    mechanism: ClassVar[str] = "none"
    unit: ClassVar[str] = "patient"

    steps: int

    def __post_init__(self) -> None:
        _check_steps(self.steps)


NumberT = TypeVar("NumberT", int, float)
DpEvent: TypeAlias = DpSgdEvent | UnprotectedEvent


def to_json(event: DpEvent) -> dict[str, Json]:
    """The event as plain data; floats survive canonical JSON exactly."""
    if isinstance(event, UnprotectedEvent):
        return {"mechanism": event.mechanism, "unit": event.unit, "steps": event.steps}
    return {
        "mechanism": event.mechanism,
        "unit": event.unit,
        "adjacency": event.adjacency,
        "noise_at": event.noise_at,
        "sampling_rate": event.sampling_rate,
        "noise_multiplier": event.noise_multiplier,
        "steps": event.steps,
    }


def from_json(obj: object) -> DpEvent:
    """The event that `to_json` wrote.

    Raises:
        CorruptState: anything else, also an event of a later version (its meaning is not guessed).
    """
    event: DpEvent | None = None
    if isinstance(obj, dict):
        numbers = [obj.get(key) for key in ("sampling_rate", "noise_multiplier", "steps")]
        try:
            if obj.get("mechanism") == UnprotectedEvent.mechanism:
                event = UnprotectedEvent(_number(numbers[2], int))
            else:
                event = DpSgdEvent(_number(numbers[0], float), _number(numbers[1], float), _number(numbers[2], int))
        except (ValueError, OverflowError):
            event = None
    # Only the exact form is known: a further key could change what the event means.
    if event is None or to_json(event) != obj:
        raise CorruptState(
            "a privacy event has an unknown or damaged form; verify the ledger, and with which version it was written",
            code="event.unknown",
        )
    return event


def merge(events: Iterable[DpEvent]) -> tuple[DpEvent, ...]:
    """Add the steps of equal mechanisms, in order of first appearance; the total spend is the same."""
    steps: dict[tuple[float, float] | None, int] = {}
    for event in events:
        key = None if isinstance(event, UnprotectedEvent) else (event.sampling_rate, event.noise_multiplier)
        steps[key] = steps.get(key, 0) + event.steps
    return tuple(UnprotectedEvent(n) if key is None else DpSgdEvent(*key, n) for key, n in steps.items())


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError("steps must be at least 1")


def _number(value: object, kind: type[NumberT]) -> NumberT:
    # Canonical JSON of another language may write 1.0 as 1; a boolean is never a number.
    if isinstance(value, bool) or not isinstance(value, int | kind):
        raise ValueError("not a number of the expected kind")
    return kind(value)

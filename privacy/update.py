"""What a silo is about to send, before it is quantised: the layout of a vector and the private update.

`PrivateUpdate` is the only type that secagg accepts, and only the accounted training makes one. It
is consumed once: the same update masked twice under two survivor sets would leak the difference.
"""

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from privacy.digest import Json, canonical_json, protocol_hash
from privacy.dp.events import DpEvent

COUNT_LIMIT = (1 << 16) - 1
"""Largest count that a silo's field can hold; what is more is sent as this."""


@dataclass(frozen=True)
class UpdateLayout:
    """Names and shapes of the tensors of an update; where the integers of an upload lie.

    In order: the values of the tensors, `metric_fields` counts of held-out patients, and for each tensor how many of
    its values saturated.
    """

    tensors: tuple[tuple[str, tuple[int, ...]], ...]
    metric_fields: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each tensor."""
        return tuple(int(np.prod(shape, dtype=np.int64)) for _, shape in self.tensors)

    @property
    def parameters(self) -> int:
        """Number of model values."""
        return sum(self.sizes)

    @property
    def model(self) -> slice:
        """Where the model values lie."""
        return slice(0, self.parameters)

    @property
    def metrics(self) -> slice:
        """Where the metric counts lie."""
        return slice(self.parameters, self.parameters + self.metric_fields)

    @property
    def saturated(self) -> slice:
        """Where the counts of saturated values lie, one a tensor, each silo's at most `COUNT_LIMIT`."""
        return slice(self.parameters + self.metric_fields, self.length)

    @property
    def length(self) -> int:
        """Number of integers that travel."""
        return self.parameters + self.metric_fields + len(self.tensors)

    def digest(self) -> bytes:
        """Digest of names, shapes and fields, 32 bytes."""
        tensors: list[Json] = [[name, list(shape)] for name, shape in self.tensors]
        fields: dict[str, Json] = {
            "tensors": tensors,
            "metric_fields": self.metric_fields,
            "saturation_fields": len(self.tensors),
        }
        return protocol_hash("layout", canonical_json(fields))


class PrivateUpdate:
    """A model difference (float64, shape (P,)) and the event that accounts for it; usable once."""

    def __init__(self, vector: NDArray[np.float64], event: DpEvent, round_number: int) -> None:
        if vector.ndim != 1 or vector.dtype != np.float64 or not np.isfinite(vector).all():
            raise ValueError("an update is a finite float64 vector")
        self._vector: NDArray[np.float64] | None = vector
        self.event = event
        self.round_number = round_number
        self.size = vector.size

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private update is never copied or stored: it is sent once")

    def consume(self) -> NDArray[np.float64]:
        """Hand out the vector, for the first and last time.

        Raises:
            RuntimeError: it was consumed before.
        """
        if self._vector is None:
            raise RuntimeError("this update was already sent: a second round needs a new update")
        vector, self._vector = self._vector, None
        return vector

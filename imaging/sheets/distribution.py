"""A histogram of values whose range is not known before: its bins double in width as they must. Bounded memory."""

import math
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BINS: Final = 2048
_SAMPLE = 100_000


@dataclass(frozen=True)
class Bars:
    """A histogram to be drawn.

    Attributes:
        start: lower edge of the first bar.
        width: of a bar, in the values' unit.
        heights: share of the whole in each bar.
        below: share that is smaller than what is drawn.
        above: share that is larger.
    """

    start: float
    width: float
    heights: tuple[float, ...]
    below: float
    above: float


@dataclass
class Distribution:
    """Values of many images, each image weighing the same however many values it has."""

    added: int = 0
    _width: float = 0.0
    _bins: dict[int, float] = field(default_factory=dict, repr=False)

    def add(self, values: NDArray[Any]) -> None:
        """Add the values of one image, at least one and all finite; of very many every so manieth."""
        flat = values.reshape(-1)
        sample = flat[:: max(1, flat.size // _SAMPLE)].astype(np.float64)
        span = float(sample.max() - sample.min())
        if not self._bins:
            finest = max(span, abs(float(sample[0])) * 1e-3, 1e-6) / BINS
            # Narrower bins than the steps of whole numbers would draw a comb.
            self._width = 2.0 ** math.ceil(math.log2(max(finest, 1.0) if flat.dtype.kind in "iub" else finest))
        places, counts = np.unique(np.floor(sample / self._width), return_counts=True)
        for place, count in zip(places.tolist(), counts.tolist(), strict=True):
            self._bins[int(place)] = self._bins.get(int(place), 0.0) + count / sample.size
        self.added += 1
        while max(self._bins) - min(self._bins) >= BINS:
            self._width *= 2
            merged: dict[int, float] = {}
            for place, weight in self._bins.items():
                merged[place // 2] = merged.get(place // 2, 0.0) + weight
            self._bins = merged

    def bars(self, most: int = 64, beyond: float = 0.001) -> Bars:
        """At most so many bars, over all but a share `beyond` at each end.

        Raises:
            RuntimeError: nothing was added.
        """
        if not self.added:
            raise RuntimeError("a distribution of nothing has no bars")
        places = sorted(self._bins)
        shares = np.array([self._bins[place] for place in places]) / self.added
        upto = np.cumsum(shares)
        first = places[int(np.searchsorted(upto, beyond, side="right"))]
        last = places[min(int(np.searchsorted(upto, 1 - beyond)), len(places) - 1)]
        group = -(-(last - first + 1) // most)
        heights = [0.0] * -(-(last - first + 1) // group)
        below = above = 0.0
        for place, share in zip(places, shares.tolist(), strict=True):
            if place < first:
                below += share
            elif (place - first) // group >= len(heights):
                above += share
            else:
                heights[(place - first) // group] += share
        return Bars(first * self._width, group * self._width, tuple(heights), below, above)

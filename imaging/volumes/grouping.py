"""Which planes belong to one volume.

Planes belong together when they share series, frame of reference, shape, orientation, pixel spacing and
stack. If several of them lie at one position, the series is four-dimensional: the attribute that splits it into
stacks with one plane at each position (b-value, phase, echo, ...) is looked for, and where none or too many
planes are left over, the series is rejected, not guessed.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from imaging.volumes.planes import Plane
from imaging.volumes.rejection import ImageRejected, Rejection

ORIENTATION_TOLERANCE = 1e-4
"""Of direction cosines, which files carry with four to sixteen digits."""

SPACING_TOLERANCE = 1e-4
"""Of pixel spacing, millimetres."""

_PARTS = (
    "b_value",
    "temporal_position",
    "frame_time",
    "phase_percent",
    "trigger_time",
    "echo",
    "echo_time",
    "inversion_time",
    "gradient",
    "acquisition",
    "kind",
    "ct_kind",
    "mr_kind",
    "pet_kind",
)
"""What may tell volumes at the same positions apart, the most telling first."""

_MOST_TOGETHER = 3
"""Attributes that may be needed together, as in gradient and b-value and echo."""


@dataclass(frozen=True)
class Placed:
    """A plane with the file it is of.

    Attributes:
        file: index of the file in the caller's list.
        plane: as read.
        key: series, frame of reference, rows and columns.
    """

    file: int
    plane: Plane
    key: tuple[str, str, int, int] = field(repr=False)


@dataclass(frozen=True)
class Stack:
    """Planes of one volume, in no order yet.

    Attributes:
        members: with one position each.
        values: attribute -> value that tells this part of a four-dimensional series; empty of others.
    """

    members: tuple[Placed, ...]
    values: Mapping[str, str]


def alike(planes: Sequence[Placed]) -> list[tuple[Placed, ...]]:
    """Planes in groups of equal key, stack, orientation and pixel spacing, in the order of first members."""
    groups: dict[tuple[object, ...], list[list[Placed]]] = defaultdict(list)
    for placed in planes:
        candidates = groups[(*placed.key, placed.plane.stack)]
        for group in candidates:
            if _same_grid(group[0].plane, placed.plane):
                group.append(placed)
                break
        else:
            candidates.append([placed])
    return [tuple(group) for candidates in groups.values() for group in candidates]


def split(group: Sequence[Placed]) -> tuple[list[Stack], list[Placed]]:
    """A group as stacks with one plane at each position.

    Returns:
        The stacks, and the planes of parts that lack positions which the other parts have (an interrupted
        series); these are at most half of all parts.

    Raises:
        ImageRejected: AMBIGUOUS.
    """
    everywhere = {_position(placed) for placed in group}
    if len(everywhere) == len(group):
        return [Stack(tuple(group), {})], []
    telling = [name for name in _PARTS if len({placed.plane.parts.get(name, "") for placed in group}) > 1]
    interrupted: tuple[list[Stack], list[Placed]] | None = None
    for count in range(1, _MOST_TOGETHER + 1):
        for names in combinations(telling, count):
            parts: dict[tuple[str, ...], list[Placed]] = defaultdict(list)
            for placed in group:
                parts[tuple(placed.plane.parts.get(name, "") for name in names)].append(placed)
            if any(len({_position(one) for one in members}) != len(members) for members in parts.values()):
                continue
            complete = {values: members for values, members in parts.items() if len(members) == len(everywhere)}
            stacks = [
                Stack(tuple(members), dict(zip(names, values, strict=True))) for values, members in complete.items()
            ]
            if len(complete) == len(parts):
                return stacks, []
            if interrupted is None and 2 * len(complete) >= len(parts):
                left = [placed for values, members in parts.items() if values not in complete for placed in members]
                interrupted = stacks, left
    if interrupted is None:
        raise ImageRejected(Rejection.AMBIGUOUS)
    return interrupted


def _same_grid(one: Plane, other: Plane) -> bool:
    return np.allclose(one.orientation, other.orientation, rtol=0, atol=ORIENTATION_TOLERANCE) and np.allclose(
        one.spacing, other.spacing, rtol=0, atol=SPACING_TOLERANCE
    )


def _position(placed: Placed) -> tuple[float, ...]:
    """The plane's position to a hundredth of a millimetre."""
    return tuple(round(one, 2) for one in placed.plane.position)

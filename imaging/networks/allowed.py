"""What an entry of the allow-list of networks is, and what a network is asked for.

The entries are in `classifiers` and `segmenters`; `building` makes networks of them. Nothing here
imports torch or MONAI.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from imaging.errors import ImagingError
from imaging.parameters import Integer, Kind, Values

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
GROUPS = Integer(1, 64, 8)
"""Groups of every GroupNorm that stands in for a BatchNorm."""


@dataclass(frozen=True)
class Problem:
    """What a network must map to what, by the study's task.

    Attributes:
        dimensions: 2 for images (C, H, W), 3 for volumes (C, D, H, W).
        channels: C of the input.
        outputs: values it gives for an image, or for each voxel.
        dense: whether it gives them for each voxel (segmentation).
    """

    dimensions: int = 2
    channels: int = 1
    outputs: int = 1
    dense: bool = False


IMAGES = Problem()
"""One value for a two-dimensional image with one channel."""


@dataclass(frozen=True)
class Blueprint:
    """How plain MONAI builds the network; goes into the exported `model.json` as it is.

    Attributes:
        network: class in `monai.networks.nets`.
        arguments: its keyword arguments, plain JSON values.
        norm_groups: groups of every GroupNorm that replaces a BatchNorm.
    """

    network: str
    arguments: Mapping[str, Json]
    norm_groups: int


@dataclass(frozen=True)
class Allowed:
    """An allowed network: its parameters and the MONAI class and arguments that they become.

    Attributes:
        parameters: what a study may give, with types and bounds.
        network: class in `monai.networks.nets`.
        arguments: MONAI's keyword arguments for a problem.
        dense: whether it is for segmentation.
        norm: whether MONAI's class takes `norm`, so that its GroupNorm has the study's groups from the start.
        first: the class gives several results, of which the first is meant.
        meta: whether the class can be built without memory, to be measured first; else its bounds are narrow.
    """

    parameters: Mapping[str, Kind]
    network: str
    arguments: Callable[[Values, Problem], Mapping[str, Json]]
    dense: bool = False
    norm: bool = False
    first: bool = False
    meta: bool = True


def sized(values: Values, problem: Problem, name: str) -> list[int]:
    """A list parameter that has one entry a dimension.

    Raises:
        ImagingError: `parameters.invalid`.
    """
    found = values.integers(name)
    if len(found) != problem.dimensions:
        raise ImagingError(
            f"{name} must have one entry for each of the {problem.dimensions} dimensions", "parameters.invalid"
        )
    return found


def alike(values: Values, one: str, other: str, less: int = 0) -> None:
    """Two list parameters must have the same length, or the second `less` fewer entries.

    Raises:
        ImagingError: `parameters.invalid`.
    """
    if len(values.integers(one)) - less != len(values.integers(other)):
        length = "the same length" if not less else f"lengths that differ by {less}"
        raise ImagingError(f"{one} and {other} must have {length}", "parameters.invalid")


def activation(values: Values) -> Json:
    """MONAI's way to write the parameter `activation`; nothing works in place."""
    return [values.word("activation"), {} if values.word("activation") == "gelu" else {"inplace": False}]

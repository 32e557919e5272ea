"""From a stored image to the network's input: a fixed chain of deterministic MONAI transforms.

A study names transforms out of `ALLOWED`. Every one works on one image alone: nothing here is fitted
to a cohort, since an intensity statistic over patients would leave the hospital unaccounted. The
chain must end in one size that is known from the study, so that all images of all silos agree. It
has no random augmentation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError
from imaging.parameters import Choice, Integers, Kind, Number, Parameter, Values, read

if TYPE_CHECKING:
    from torch import Tensor

_SIZE = Integers(8, 4096, shortest=2, longest=2)
"""Rows and columns, pixels."""


@dataclass(frozen=True)
class Allowed:
    """An allowed transform: its parameters, whether it settles the image size, and its MONAI object."""

    parameters: Mapping[str, Kind]
    sizes: bool
    make: Callable[[Any, Values], Callable[["Tensor"], "Tensor"]]


ALLOWED: Mapping[str, Allowed] = MappingProxyType(
    {
        "resize": Allowed(
            {"size": _SIZE, "mode": Choice(("area", "bilinear"), "area")},
            True,
            lambda monai, p: monai.Resize(p.integers("size"), mode=p.word("mode")),
        ),
        "center-crop": Allowed({"size": _SIZE}, False, lambda monai, p: monai.CenterSpatialCrop(p.integers("size"))),
        "crop-or-pad": Allowed(
            {"size": _SIZE}, True, lambda monai, p: monai.ResizeWithPadOrCrop(p.integers("size"), constant_values=0)
        ),
        "standardise": Allowed({}, False, lambda monai, p: monai.NormalizeIntensity()),
        "scale-intensity": Allowed(
            {"low": Number(-1e4, 1e4, 0.0), "high": Number(-1e4, 1e4, 1.0)},
            False,
            lambda monai, p: monai.ScaleIntensity(p.number("low"), p.number("high")),
        ),
        "scale-percentiles": Allowed(
            {
                "lower": Number(0, 100, 1.0),
                "upper": Number(0, 100, 99.0),
                "low": Number(-1e4, 1e4, 0.0),
                "high": Number(-1e4, 1e4, 1.0),
            },
            False,
            lambda monai, p: monai.ScaleIntensityRangePercentiles(
                p.number("lower"), p.number("upper"), p.number("low"), p.number("high"), clip=True
            ),
        ),
    }
)
"""What a study may name: `resize`, `center-crop` (never enlarges), `crop-or-pad` (with zeros),
`standardise` (an image's own mean and deviation; a constant image becomes 0), `scale-intensity` (its
own minimum and maximum to low..high), `scale-percentiles` (its own percentiles, clipped)."""


@dataclass(frozen=True)
class Pipeline:
    """A chain of transforms: (H, W) real array -> (1, H', W') float32, C-contiguous.

    Attributes:
        shape: (1, H', W') of every output.
    """

    shape: tuple[int, int, int]
    _steps: tuple[Callable[["Tensor"], "Tensor"], ...]

    def __call__(self, image: NDArray[np.generic]) -> NDArray[np.float32]:
        """Transform one image.

        Raises:
            ImagingError: `transforms.image`: not two-dimensional, empty or not finite.
        """
        import torch

        values = np.ascontiguousarray(image, dtype=np.float32)
        if values.ndim != 2 or 0 in values.shape or not np.isfinite(values).all():
            raise ImagingError(
                "a stored image is not a two-dimensional array of finite numbers; ingest the cohort again",
                "transforms.image",
            )
        tensor = torch.from_numpy(values)[None]
        for step in self._steps:
            tensor = step(tensor)
        return np.ascontiguousarray(np.asarray(tensor), dtype=np.float32)


def build(specs: Sequence[tuple[str, Mapping[str, Parameter]]]) -> Pipeline:
    """The chain that a study describes by (name, parameters), applied in this order.

    Raises:
        ImagingError: `transforms.unknown` name, `parameters.*`, or `transforms.size`: no step settles the size.
    """
    checked = tuple(validate(specs))
    import monai.transforms

    steps = tuple(ALLOWED[name].make(monai.transforms, parameters) for name, parameters in checked)
    return Pipeline(_shape(checked), steps)


def validate(specs: Sequence[tuple[str, Mapping[str, Parameter]]]) -> Sequence[tuple[str, Values]]:
    """The checks of `build` without importing MONAI; defaults filled in.

    Raises:
        ImagingError: as `build`.
    """
    checked = []
    for name, given in specs:
        if name not in ALLOWED:
            raise ImagingError(
                f"transform '{name}' is not allowed; choose from {', '.join(sorted(ALLOWED))}", "transforms.unknown"
            )
        parameters = read(f"transform '{name}'", ALLOWED[name].parameters, given)
        for below, above in (("low", "high"), ("lower", "upper")):
            if below in parameters and not parameters.number(below) < parameters.number(above):
                raise ImagingError(f"transform '{name}': {below} must be less than {above}", "parameters.invalid")
        checked.append((name, parameters))
    _shape(checked)
    return checked


def _shape(checked: Sequence[tuple[str, Values]]) -> tuple[int, int, int]:
    size: tuple[int, int] | None = None
    for name, parameters in checked:
        if "size" not in parameters:
            continue
        rows, columns = parameters.integers("size")
        if ALLOWED[name].sizes:
            size = rows, columns
        elif size is not None:
            size = min(rows, size[0]), min(columns, size[1])
    if size is None:
        raise ImagingError(
            "the transforms leave the image size open; add 'resize' or 'crop-or-pad' to the study", "transforms.size"
        )
    return 1, *size

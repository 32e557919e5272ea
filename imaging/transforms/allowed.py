"""The transforms that a study may name, and the MONAI objects that they become.

Every one works on one image alone: nothing here is fitted to a cohort, since an intensity statistic over
patients would leave the hospital unaccounted. There is no random augmentation: its draws would come from
MONAI's seeded generator.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from imaging.parameters import Choice, Integers, Kind, Number, Numbers, Values

Transform: TypeAlias = Callable[[Any], Any]
"""A MONAI transform of one tensor (C, *spatial), which keeps the affine of a MetaTensor."""

_SIZE = Integers(8, 4096, shortest=2, longest=3)
"""Length of each axis, pixels or voxels."""

_BOUND = Number(-1e5, 1e5)


@dataclass(frozen=True)
class Allowed:
    """An allowed transform.

    Attributes:
        parameters: what a study may give, with types and bounds.
        image: MONAI's object for images.
        mask: the same for masks, with nearest neighbours; None where the transform does not move anything.
        sizes: whether it settles the image size.
        affine: whether it needs to know where the voxels lie, and so a volume.
    """

    parameters: Mapping[str, Kind]
    image: Callable[[Any, Values], Transform]
    mask: Callable[[Any, Values], Transform] | None = None
    sizes: bool = False
    affine: bool = False


def _resize(monai: Any, p: Values) -> Transform:
    size = p.integers("size")
    linear = "trilinear" if len(size) == 3 else "bilinear"
    resized: Transform = monai.Resize(size, mode="area" if p.word("mode") == "area" else linear)
    return resized


def _center_crop(monai: Any, p: Values) -> Transform:
    cropped: Transform = monai.CenterSpatialCrop(p.integers("size"))
    return cropped


def _crop_or_pad(monai: Any, p: Values) -> Transform:
    padded: Transform = monai.ResizeWithPadOrCrop(p.integers("size"), constant_values=0)
    return padded


def _orient(monai: Any, p: Values) -> Transform:
    turned: Transform = monai.Orientation(axcodes="RAS", labels=None)
    return turned


def _percentiles(monai: Any, p: Values) -> Transform:
    scaled: Transform = monai.ScaleIntensityRangePercentiles(
        p.number("lower"), p.number("upper"), p.number("low"), p.number("high"), clip=True
    )
    return scaled


ALLOWED: Mapping[str, Allowed] = MappingProxyType(
    {
        "orient": Allowed({}, _orient, _orient, affine=True),
        "spacing": Allowed(
            {"millimetres": Numbers(0.05, 20.0, length=3)},
            lambda monai, p: monai.Spacing(p.numbers("millimetres"), mode="bilinear", padding_mode="border"),
            lambda monai, p: monai.Spacing(p.numbers("millimetres"), mode="nearest", padding_mode="border"),
            affine=True,
        ),
        "resize": Allowed(
            {"size": _SIZE, "mode": Choice(("area", "bilinear"), "area")},
            _resize,
            lambda monai, p: monai.Resize(p.integers("size"), mode="nearest"),
            sizes=True,
        ),
        "center-crop": Allowed({"size": _SIZE}, _center_crop, _center_crop),
        "crop-or-pad": Allowed({"size": _SIZE}, _crop_or_pad, _crop_or_pad, sizes=True),
        "standardise": Allowed({}, lambda monai, p: monai.NormalizeIntensity()),
        "window": Allowed(
            {"low": _BOUND, "high": _BOUND},
            lambda monai, p: monai.ScaleIntensityRange(p.number("low"), p.number("high"), 0.0, 1.0, clip=True),
        ),
        "scale-intensity": Allowed(
            {"low": Number(-1e4, 1e4, 0.0), "high": Number(-1e4, 1e4, 1.0)},
            lambda monai, p: monai.ScaleIntensity(p.number("low"), p.number("high")),
        ),
        "scale-percentiles": Allowed(
            {
                "lower": Number(0, 100, 1.0),
                "upper": Number(0, 100, 99.0),
                "low": Number(-1e4, 1e4, 0.0),
                "high": Number(-1e4, 1e4, 1.0),
            },
            _percentiles,
        ),
    }
)
"""`orient` (axes to right, anterior, superior) and `spacing` (resampled to public voxel sizes, linear), both for
volumes that say where they lie; `resize`, `center-crop` (never enlarges), `crop-or-pad` (with zeros); `standardise` (an
image's own mean and deviation; a constant image becomes 0), `window` (public bounds, for instance in Hounsfield units,
to 0..1, clipped), `scale-intensity` (its own minimum and maximum to low..high), `scale-percentiles` (its own
percentiles, clipped)."""

"""A bundle's network as one of ours: the name and typed parameters that a study can hold.

The classes below are known; every argument, also one left at MONAI's default, must be what our network of these
parameters is built with. Only what has no place in a private network may differ, and is reported: the kind of
normalisation, dropout, and ways to save memory. MONAI's classes are looked at here, never built.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias

from imaging.bundles.definition import Definition
from imaging.errors import ImagingError
from imaging.networks.allowed import Json, Problem
from imaging.networks.building import ALLOWED, blueprint
from imaging.parameters import Parameter

_DIFFER = frozenset(
    {
        "norm", "norm_name", "dropout", "dropout_prob", "dropout_rate", "dropout_dim", "drop_rate", "attn_drop_rate",
        "dropout_path_rate", "use_checkpoint", "pretrained", "progress",
    }
)  # fmt: skip
"""Arguments without parameters of their own: normalisation, dropout, saving memory, downloads (which never happen)."""

_WHOLE = frozenset({"kernel_size", "up_kernel_size", "conv1_t_size", "conv1_t_stride", "img_size", "window_size"})
_EACH = frozenset({"strides", "upsample_kernel_size"})
"""Sizes: one number stands for the same in each dimension; of the whole argument, or of each entry of it."""


@dataclass(frozen=True)
class Start:
    """A study's model for a bundle's network.

    Attributes:
        model: name in the allow-list.
        parameters: typed parameters.
        problem: dimensions, channels in and values out.
        differences: arguments that our network does not follow, by name.
    """

    model: str
    parameters: Mapping[str, Parameter]
    problem: Problem
    differences: tuple[str, ...]


def start(definition: Definition) -> Start:
    """The network of a bundle as one of ours.

    Raises:
        ImagingError: `bundle.network`: the class is not known; `bundle.argument`: it is built in a way that ours is
            not; or as `blueprint`: a parameter is out of bounds.
    """
    import monai.networks.nets

    network = getattr(monai.networks.nets, definition.network, None)
    form = _FORMS.get(network.__name__) if inspect.isclass(network) else None
    if network is None or form is None:
        raise ImagingError(
            f"the bundle's network is of no known class; there are {', '.join(sorted(_FORMS))}", "bundle.network"
        )
    defaults = _defaults(network)
    theirs = defaults | {name: _plain(name, value) for name, value in definition.arguments.items()}
    for name in form.obsolete:
        theirs.pop(name, None)
    unknown = sorted(set(definition.arguments) - set(defaults) - set(form.obsolete))
    if unknown:
        raise _differs(unknown[0])
    parameters = {name: form_read(theirs) for name, form_read in form.parameters.items()}
    given = {name: value for name, value in parameters.items() if value is not None}
    ends = [theirs.get(name) for name in ("spatial_dims", form.channels, form.outputs)]
    if not all(type(end) is int and 1 <= end <= 1000 for end in ends) or ends[0] not in (2, 3):
        raise _differs("spatial_dims")
    dimensions, channels, outputs = (int(str(end)) for end in ends)
    problem = Problem(dimensions, channels, outputs, ALLOWED[form.model].dense)
    plan = blueprint(form.model, given, problem)  # type: ignore[arg-type]  # which checks each value's type
    ours = defaults | {name: _plain(name, value) for name, value in plan.arguments.items()}
    differing = sorted(name for name in ours if ours[name] != theirs[name])
    for name in differing:
        if name not in _DIFFER:
            raise _differs(name)
    return Start(form.model, MappingProxyType(given), problem, tuple(differing))  # type: ignore[arg-type]


Read: TypeAlias = Callable[[Mapping[str, Json]], Json]


@dataclass(frozen=True)
class _Form:
    """How a class's arguments become parameters; None leaves one at its default."""

    model: str
    parameters: Mapping[str, Read]
    channels: str = "in_channels"
    outputs: str = "out_channels"
    obsolete: tuple[str, ...] = ()


def _copy(argument: str) -> Read:
    return lambda arguments: arguments.get(argument)


def _groups(arguments: Mapping[str, Json]) -> Json:
    norm = arguments.get("norm")
    return norm[1].get("num_groups") if isinstance(norm, list) and isinstance(norm[1], dict) else None


def _affine(arguments: Mapping[str, Json]) -> Json:
    """Whether the normalisation has weights: MONAI's InstanceNorm has none unless asked to."""
    norm = arguments.get("norm")
    name, more = norm if isinstance(norm, list) else (norm, {})
    return name != "instance" or (isinstance(more, dict) and more.get("affine") is True)


def _activation(arguments: Mapping[str, Json]) -> Json:
    act = arguments.get("act")
    return act[0] if isinstance(act, list) else act


def _per_head(arguments: Mapping[str, Json]) -> Json:
    hidden, heads = arguments.get("hidden_size"), arguments.get("num_heads")
    whole = type(hidden) is int and type(heads) is int and heads > 0 and hidden % heads == 0
    return hidden // heads if whole else None  # type: ignore[operator]


def _each_dimension(argument: str) -> Read:
    def read(arguments: Mapping[str, Json]) -> Json:
        value, dimensions = arguments.get(argument), arguments.get("spatial_dims")
        return [value] * dimensions if type(value) is int and dimensions in (2, 3) else value  # type: ignore[operator]

    return read


_DENSENET = _Form(
    "densenet",
    {
        "init_features": _copy("init_features"),
        "growth_rate": _copy("growth_rate"),
        "block_config": _copy("block_config"),
        "bottleneck": _copy("bn_size"),
        "activation": _activation,
        "norm_groups": _groups,
    },
)
_FORMS: Mapping[str, _Form] = MappingProxyType(
    {
        **dict.fromkeys(("DenseNet", "DenseNet121", "DenseNet169", "DenseNet201", "DenseNet264"), _DENSENET),
        "ResNet": _Form(
            "resnet",
            {
                "block": _copy("block"),
                "layers": _copy("layers"),
                "widths": _copy("block_inplanes"),
                "stem_kernel": _copy("conv1_t_size"),
                "stem_stride": _copy("conv1_t_stride"),
                "max_pool": lambda arguments: arguments.get("no_max_pool") is not True,
                "norm_groups": _groups,
            },
            "n_input_channels",
            "num_classes",
        ),
        "UNet": _Form(
            "unet",
            {
                "widths": _copy("channels"),
                "strides": _copy("strides"),
                "kernel": _copy("kernel_size"),
                "residual_units": _copy("num_res_units"),
                "affine": _affine,
            },
        ),
        "BasicUNet": _Form("basic-unet", {"widths": _copy("features")}),
        "AttentionUnet": _Form("attention-unet", {"widths": _copy("channels"), "strides": _copy("strides")}),
        "SegResNet": _Form(
            "segresnet",
            {
                "init_filters": _copy("init_filters"),
                "blocks_down": _copy("blocks_down"),
                "blocks_up": _copy("blocks_up"),
                "norm_groups": _groups,
            },
        ),
        "DynUNet": _Form(
            "dynunet",
            {
                "widths": _copy("filters"),
                "strides": _copy("strides"),
                "kernel": _copy("kernel_size"),
                "residual": _copy("res_block"),
            },
        ),
        "UNETR": _Form(
            "unetr",
            {
                "size": _each_dimension("img_size"),
                "feature_size": _copy("feature_size"),
                "heads": _copy("num_heads"),
                "hidden_per_head": _per_head,
                "mlp": _copy("mlp_dim"),
            },
        ),
        "SwinUNETR": _Form(
            "swin-unetr",
            {
                "depths": _copy("depths"),
                "heads": _copy("num_heads"),
                "window": _copy("window_size"),
                "feature_size": _copy("feature_size"),
            },
            obsolete=("img_size",),
        ),
    }
)
"""By the name of MONAI's class, whatever alias a bundle uses."""


def _defaults(network: type) -> dict[str, Json]:
    """The arguments of a class and of the one that it hands the rest to; None where there is no default."""
    found: dict[str, Json] = {}
    for kind in reversed(network.__mro__[:2]):
        for name, parameter in inspect.signature(kind).parameters.items():
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                found[name] = _plain(name, None if parameter.default is parameter.empty else parameter.default)
    return found


def _plain(name: str, value: object) -> Json:
    """A value in one way to write it."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, type):
        value = value.__name__
    if name in ("act", "act_name", "norm", "norm_name"):
        return _layer(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        entries: list[Json] = [_plain("", entry) for entry in value]
        if name in _EACH:
            return [_one(entry) for entry in entries]
        return _one(entries) if name in _WHOLE else entries
    return value  # type: ignore[return-value]


def _one(value: Json) -> Json:
    if isinstance(value, list) and value:
        entries = [_one(entry) for entry in value]
        return entries[0] if all(entry == entries[0] for entry in entries) else entries
    return value


def _layer(value: object) -> Json:
    """A layer with its arguments, without `inplace`, which changes no result."""
    name, more = value if isinstance(value, list | tuple) and len(value) == 2 else (value, {})
    kept = {key: entry for key, entry in more.items() if key != "inplace"} if isinstance(more, Mapping) else {}
    return [str(name).lower(), kept] if kept else str(name).lower()


def _differs(argument: str) -> ImagingError:
    shown = argument if argument.isidentifier() else "an argument"
    return ImagingError(
        f"the bundle's network is not one of ours: {shown} differs from what ours is built with", "bundle.argument"
    )

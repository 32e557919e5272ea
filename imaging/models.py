"""Networks that a study may name: MONAI's, in the form that per-patient gradients need.

MONAI's own classes are built with GroupNorm in place of BatchNorm, whose batch statistics would mix
patients, and with in-place activations off, so that `torch.func.vmap(grad)` gives each patient's own
gradient. No dropout or stochastic depth: a gradient is a function of patient and weights alone. One
output logit, two-dimensional images with one channel, float32. The public seed alone decides the
initial weights. This is the only module that imports `monai.networks`, and only when it builds.

GroupNorm's groups divide the channels of every layer; `check` refuses a network whose groups see one
value, which normalisation would erase (meta-pytorch/opacus issue 567).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from imaging.errors import ImagingError
from imaging.parameters import Choice, Flag, Integer, Integers, Kind, Number, Parameter, Values, read

if TYPE_CHECKING:
    from torch import nn

MAX_PARAMETERS = 100_000_000
"""A network with more trainable numbers is refused before memory is taken for it."""

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
_GROUPS = Integer(1, 64, 8)
_EFFICIENTNET_BLOCKS = (
    "r1_k3_s11_e1_i32_o16_se0.25",
    "r2_k3_s22_e6_i16_o24_se0.25",
    "r2_k5_s22_e6_i24_o40_se0.25",
    "r3_k3_s22_e6_i40_o80_se0.25",
    "r3_k5_s11_e6_i80_o112_se0.25",
    "r4_k5_s22_e6_i112_o192_se0.25",
    "r1_k3_s11_e6_i192_o320_se0.25",
)
"""The stages of EfficientNet-B0 in MONAI's notation."""


@dataclass(frozen=True)
class Blueprint:
    """How plain MONAI builds the network; goes into the exported `model.json` as it is.

    Attributes:
        network: class in `monai.networks.nets`.
        arguments: its keyword arguments, plain JSON values.
        norm_groups: groups of every GroupNorm.
    """

    network: str
    arguments: Mapping[str, Json]
    norm_groups: int


@dataclass(frozen=True)
class Allowed:
    """An allowed network: its parameters and the MONAI class and arguments that they become."""

    parameters: Mapping[str, Kind]
    network: str
    arguments: Callable[[Values], Mapping[str, Json]]


def _act(p: Values) -> Json:
    return [p.word("activation"), {} if p.word("activation") == "gelu" else {"inplace": False}]


ALLOWED: Mapping[str, Allowed] = MappingProxyType(
    {
        "resnet": Allowed(
            {
                "block": Choice(("basic", "bottleneck"), "basic"),
                "layers": Integers(1, 64, 4, 4, (2, 2, 2, 2)),
                "widths": Integers(1, 2048, 4, 4, (64, 128, 256, 512)),
                "stem_kernel": Integer(1, 15, 7, odd=True),
                "stem_stride": Integer(1, 8, 2),
                "max_pool": Flag(True),
                "norm_groups": _GROUPS,
            },
            "ResNet",
            # shortcut_type A detaches the shortcut from the gradient, so B it is.
            lambda p: {
                "block": p.word("block"),
                "layers": p.integers("layers"),
                "block_inplanes": p.integers("widths"),
                "spatial_dims": 2,
                "n_input_channels": 1,
                "conv1_t_size": p.integer("stem_kernel"),
                "conv1_t_stride": p.integer("stem_stride"),
                "no_max_pool": not p.flag("max_pool"),
                "shortcut_type": "B",
                "num_classes": 1,
                "bias_downsample": False,
                "act": ["relu", {"inplace": False}],
            },
        ),
        "densenet": Allowed(
            {
                "init_features": Integer(1, 512, 64),
                "growth_rate": Integer(1, 256, 32),
                "block_config": Integers(1, 64, 1, 8, (6, 12, 24, 16)),
                "bottleneck": Integer(1, 16, 4),
                "activation": Choice(("relu", "elu", "gelu"), "relu"),
                "norm_groups": _GROUPS,
            },
            "DenseNet",
            lambda p: {
                "spatial_dims": 2,
                "in_channels": 1,
                "out_channels": 1,
                "init_features": p.integer("init_features"),
                "growth_rate": p.integer("growth_rate"),
                "block_config": p.integers("block_config"),
                "bn_size": p.integer("bottleneck"),
                "act": _act(p),
            },
        ),
        "classifier": Allowed(
            {
                "size": Integers(8, 4096, 2, 2),
                "widths": Integers(1, 2048, 1, 10),
                "strides": Integers(1, 8, 1, 10),
                "kernel": Integer(1, 15, 3, odd=True),
                "residual_units": Integer(0, 8, 0),
                "activation": Choice(("relu", "elu", "gelu"), "relu"),
                "norm_groups": _GROUPS,
            },
            "Classifier",
            lambda p: {
                "in_shape": [1, *p.integers("size")],
                "classes": 1,
                "channels": p.integers("widths"),
                "strides": p.integers("strides"),
                "kernel_size": p.integer("kernel"),
                "num_res_units": p.integer("residual_units"),
                "act": _act(p),
            },
        ),
        "efficientnet": Allowed(
            {
                "width": Number(0.05, 4.3, 1.0),
                "depth": Number(0.05, 5.3, 1.0),
                "image_size": Integer(16, 1024, 224),
                "norm_groups": _GROUPS,
            },
            "EfficientNet",
            lambda p: {
                "blocks_args_str": list(_EFFICIENTNET_BLOCKS),
                "spatial_dims": 2,
                "in_channels": 1,
                "num_classes": 1,
                "width_coefficient": p.number("width"),
                "depth_coefficient": p.number("depth"),
                "image_size": p.integer("image_size"),
                "dropout_rate": 0.0,
                "drop_connect_rate": 0.0,
            },
        ),
    }
)
"""What a study may name, with typed parameters.

`resnet` (He et al. 2016): blocks and widths of four stages, stem convolution, max-pooling after it.
`densenet` (Huang et al. 2017): stem width, growth, layers of each block, bottleneck factor.
`classifier`: plain strided convolutions with a linear layer on the last map, for one image size.
`efficientnet` (Tan & Le 2019): B0 scaled in width and depth.
"""


def blueprint(name: str, parameters: Mapping[str, Parameter]) -> Blueprint:
    """The MONAI class and arguments for a study's model, checked; imports neither torch nor MONAI.

    Raises:
        ImagingError: `models.unknown` name, or `parameters.*`.
    """
    if name not in ALLOWED:
        raise ImagingError(f"model '{name}' is not allowed; choose from {', '.join(sorted(ALLOWED))}", "models.unknown")
    allowed = ALLOWED[name]
    values = read(f"model '{name}'", allowed.parameters, parameters)
    if name == "classifier" and len(values.integers("widths")) != len(values.integers("strides")):
        raise ImagingError(f"model '{name}': widths and strides must have the same length", "parameters.invalid")
    groups = values.integer("norm_groups")
    arguments: dict[str, Json] = {**allowed.arguments(values), "norm": ["group", {"num_groups": groups}]}
    return Blueprint(allowed.network, MappingProxyType(arguments), groups)


def build(name: str, parameters: Mapping[str, Parameter], seed: int) -> "nn.Module":
    """A network of a study with its public initial weights, float32, on the CPU, in training mode.

    The same arguments give the same weights; the global random state is left as it was. The
    forward pass maps (batch, 1, H, W) to (batch, 1) logits.

    Raises:
        ImagingError: as `blueprint`; `models.groups`: norm_groups does not divide a layer's channels;
            `models.size`: more than `MAX_PARAMETERS` numbers.
    """
    import torch

    plan = blueprint(name, parameters)
    from monai.networks.blocks import MemoryEfficientSwish

    with torch.device("meta"):
        _refuse_unfit(name, _monai(plan, norm="batch"), plan.norm_groups)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(seed)
        network = _monai(plan, norm=plan.arguments["norm"])
    for path, module in list(network.named_modules()):
        if isinstance(module, torch.nn.BatchNorm2d):  # MONAI's ResNet gives its blocks these whatever `norm` says
            network.set_submodule(path, torch.nn.GroupNorm(plan.norm_groups, module.num_features))
        elif isinstance(module, MemoryEfficientSwish):  # an autograd function that vmap cannot map
            network.set_submodule(path, torch.nn.SiLU())
        elif getattr(module, "inplace", False):
            module.inplace = False
    return network.train()


def check(network: "nn.Module", shape: tuple[int, int, int]) -> None:
    """Refuse a network that cannot classify images of `shape` (1, H, W).

    Raises:
        ImagingError: `models.shape`: the size does not fit, the output is not one logit, or a
            GroupNorm would see a single value a group.
    """
    import torch

    single: list[int] = []

    def watch(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, torch.nn.GroupNorm) and inputs[0][0].numel() <= module.num_groups:
            single.append(module.num_channels)

    handles = [module.register_forward_pre_hook(watch) for module in network.modules()]
    try:
        with torch.no_grad():
            output = network(torch.zeros(2, *shape))  # torch itself refuses one image with one value
    except RuntimeError as error:
        raise ImagingError(
            f"the model does not take images of {shape[1]} x {shape[2]}; make its size that of the transforms",
            "models.shape",
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    if output.shape != (2, 1):
        raise ImagingError("the model does not give one logit an image", "models.shape")
    if single:
        raise ImagingError(
            f"a GroupNorm of {single[0]} channels would see one value a group; use fewer norm_groups or a larger size",
            "models.shape",
        )


def _monai(plan: Blueprint, norm: Json) -> "nn.Module":
    import monai.networks.nets

    network: nn.Module = getattr(monai.networks.nets, plan.network)(**dict(plan.arguments) | {"norm": norm})
    return network


def _refuse_unfit(name: str, skeleton: "nn.Module", groups: int) -> None:
    import torch

    if sum(parameter.numel() for parameter in skeleton.parameters()) > MAX_PARAMETERS:
        raise ImagingError(f"model '{name}' has more than {MAX_PARAMETERS} parameters; make it smaller", "models.size")
    for module in skeleton.modules():
        if isinstance(module, torch.nn.BatchNorm2d) and module.num_features % groups:
            raise ImagingError(
                f"model '{name}': norm_groups {groups} does not divide a layer of {module.num_features} channels; "
                "choose a divisor of all widths",
                "models.groups",
            )

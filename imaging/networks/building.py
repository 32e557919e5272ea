"""Builds a study's network: MONAI's own class, changed so that a gradient is of one patient alone.

GroupNorm stands in for BatchNorm, whose batch statistics would mix patients; nothing works in place,
so that `torch.func.vmap(grad)` runs; no dropout or stochastic depth: a gradient is a function of patient
and weights. Constant buffers (Swin's table of positions) become attributes, a layer that MONAI
registers under two names keeps one, and parameters that no output depends on are frozen. float32. The
public seed alone decides the initial weights. This is the only module that imports `monai.networks`,
and only when it builds. A study's file of starting weights takes their place where it has them
(`imaging.networks.pretrained`).

GroupNorm's groups divide the channels of every layer; `check` refuses a network whose groups see one
value, which normalisation would erase (meta-pytorch/opacus issue 567).
"""

from collections.abc import Mapping, Sequence
from math import gcd
from types import MappingProxyType
from typing import TYPE_CHECKING

from imaging.errors import ImagingError
from imaging.networks import pretrained
from imaging.networks.allowed import IMAGES, Allowed, Blueprint, Json, Problem
from imaging.networks.classifiers import CLASSIFIERS
from imaging.networks.segmenters import SEGMENTERS
from imaging.parameters import Parameter, read

if TYPE_CHECKING:
    from torch import nn

MAX_PARAMETERS = 100_000_000
"""A network with more trainable numbers is refused before memory is taken for it."""

ALLOWED: Mapping[str, Allowed] = MappingProxyType({**CLASSIFIERS, **SEGMENTERS})
"""What a study may name, with typed parameters."""

_UNUSED = ("norm_cross_attn",)
"""Layers that MONAI's transformers own and never call."""


def blueprint(name: str, parameters: Mapping[str, Parameter], problem: Problem = IMAGES) -> Blueprint:
    """The MONAI class and arguments for a study's model, checked; imports neither torch nor MONAI.

    Raises:
        ImagingError: `models.unknown` name, `models.task`: it is for another kind of task, or `parameters.*`.
    """
    if name not in ALLOWED:
        raise ImagingError(f"model '{name}' is not allowed; choose from {', '.join(sorted(ALLOWED))}", "models.unknown")
    allowed = ALLOWED[name]
    if allowed.dense != problem.dense:
        fitting = sorted(other for other, entry in ALLOWED.items() if entry.dense == problem.dense)
        raise ImagingError(
            f"model '{name}' is not for this kind of task; choose from {', '.join(fitting)}", "models.task"
        )
    values = read(f"model '{name}'", allowed.parameters, parameters)
    try:
        arguments: dict[str, Json] = {**allowed.arguments(values, problem)}
    except ImagingError as error:
        raise ImagingError(f"model '{name}': {error}", error.code) from error
    groups = values.integer("norm_groups") if "norm_groups" in values else 1
    if allowed.norm:
        arguments["norm"] = ["group", {"num_groups": groups}]
    return Blueprint(allowed.network, MappingProxyType(arguments), groups)


def build(
    name: str,
    parameters: Mapping[str, Parameter],
    seed: int,
    problem: Problem = IMAGES,
    freeze: Sequence[str] = (),
    start: pretrained.Start | None = None,
) -> "nn.Module":
    """A network of a study with its public initial weights, float32, on the CPU, in training mode.

    The same arguments give the same weights; the global random state is left as it was. The forward
    pass maps (batch, C, *spatial) to (batch, outputs), or (batch, outputs, *spatial) for a dense problem.

    Args:
        name: the study's model.
        parameters: its parameters.
        seed: of the initial weights.
        problem: what the task asks for.
        freeze: parameters whose name begins so keep their values and are not sent.
        start: weights to start from in place of those of the seed.

    Raises:
        ImagingError: as `blueprint`; `models.groups`: norm_groups does not divide a layer's channels;
            `models.size`: more than `MAX_PARAMETERS` numbers; `models.shape`: MONAI refuses the arguments;
            `pretrained.*`: nothing begins as `freeze` says, nothing is left to train, or `start` does not fit.
    """
    import torch

    plan = blueprint(name, parameters, problem)
    allowed = ALLOWED[name]
    with torch.device("meta" if allowed.meta else "cpu"), torch.random.fork_rng(devices=[]):
        _refuse_unfit(name, _monai(name, plan, norm="batch" if allowed.norm else None), plan, norm=allowed.norm)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(seed)
        network = _monai(name, plan)
    if allowed.first:
        network = _only_first(network)
    _for_single_patients(network, plan.norm_groups)
    _start(network, freeze, start)
    return network.train()


def plain(plan: Blueprint) -> "nn.Module":
    """The network as a reader of an exported model builds it (`imaging.export`): MONAI's, without BatchNorm."""
    network = _monai(plan.network, plan)
    _replace_batch_norm(network, plan.norm_groups)
    return network


def check(network: "nn.Module", shape: Sequence[int], problem: Problem = IMAGES) -> None:
    """Refuse a network that cannot be used on images of `shape` (C, *spatial).

    Raises:
        ImagingError: `models.shape`: the size does not fit, the output is not what the problem asks for, or
            a GroupNorm would see a single value a group.
    """
    import torch

    single: list[int] = []

    def watch(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, torch.nn.GroupNorm) and inputs[0][0].numel() <= module.num_groups:
            single.append(module.num_channels)

    handles = [module.register_forward_pre_hook(watch) for module in network.modules()]
    size = " x ".join(str(length) for length in shape[1:])
    try:
        with torch.no_grad():
            output = network(torch.zeros(2, *shape))  # torch itself refuses one image with one value
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ImagingError(
            f"the model does not take images of {size}; make its size that of the transforms", "models.shape"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    expected = (2, problem.outputs, *(shape[1:] if problem.dense else ()))
    if tuple(output.shape) != expected:
        raise ImagingError(
            f"the model does not give {problem.outputs} values for each "
            f"{'voxel' if problem.dense else 'image'} of {size}; choose a size that its strides divide",
            "models.shape",
        )
    if single:
        raise ImagingError(
            f"a GroupNorm of {single[0]} channels would see one value a group; use fewer norm_groups or a larger size",
            "models.shape",
        )


def _monai(name: str, plan: Blueprint, norm: Json = None) -> "nn.Module":
    import monai.networks.nets

    arguments = dict(plan.arguments) | ({} if norm is None else {"norm": norm})
    try:
        network: nn.Module = getattr(monai.networks.nets, plan.network)(**arguments)
    except (ValueError, AssertionError) as error:
        raise ImagingError(
            f"model '{name}' cannot be built with these parameters; see docs/reference/networks.md", "models.shape"
        ) from error
    return network


def _only_first(network: "nn.Module") -> "nn.Module":
    """The same network, whose forward pass gives the first of its results."""
    plain = type(network)

    def forward(self: "nn.Module", image: object) -> object:
        return plain.forward(self, image)[0]

    network.__class__ = type(plain.__name__, (plain,), {"forward": forward})
    return network


def _for_single_patients(network: "nn.Module", groups: int) -> None:
    import torch
    from monai.networks.blocks import MemoryEfficientSwish

    _replace_batch_norm(network, groups)
    _keep_one_name(network, set())
    for path, module in list(network.named_modules()):
        if isinstance(module, MemoryEfficientSwish):  # an autograd function that vmap cannot map
            network.set_submodule(path, torch.nn.SiLU())
        elif getattr(module, "inplace", False):
            module.inplace = False
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.is_floating_point():
                raise RuntimeError("a network of the allow-list has a buffer that is no table of positions")
            delattr(module, name)
            setattr(module, name, buffer)
    for name, parameter in network.named_parameters():
        if any(part in name for part in _UNUSED):
            parameter.requires_grad_(False)


def _replace_batch_norm(network: "nn.Module", groups: int) -> None:
    import torch

    for path, module in list(network.named_modules()):
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d):
            # MONAI's ResNet gives its blocks these whatever `norm` says, and its AttentionUnet always.
            fitting = gcd(groups, module.num_features)
            network.set_submodule(path, torch.nn.GroupNorm(fitting, module.num_features))


def _keep_one_name(module: "nn.Module", seen: set[int]) -> None:
    """A layer that is registered a second time (MONAI's DynUNet) becomes a plain attribute there."""
    for name, child in list(module._modules.items()):
        if child is None:
            continue
        if id(child) in seen:
            del module._modules[name]
            module.__dict__[name] = child
        else:
            seen.add(id(child))
            _keep_one_name(child, seen)


def _start(network: "nn.Module", freeze: Sequence[str], start: pretrained.Start | None) -> None:
    shapes = pretrained.shapes(network)
    if start is None:
        planned = pretrained.plan(shapes, freeze=freeze)
    else:
        file = {name: tensor.shape for name, tensor in start.tensors.items()}
        planned = pretrained.plan(shapes, file, start.source, freeze)
        pretrained.fill(network, start.tensors, planned)
    frozen = set(planned.frozen)
    for path, parameter in network.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and path not in frozen)


def _refuse_unfit(name: str, skeleton: "nn.Module", plan: Blueprint, *, norm: bool) -> None:
    """`norm`: the class takes it, and so each of its layers must have a number of channels that the groups divide."""
    from torch import nn

    if sum(parameter.numel() for parameter in skeleton.parameters()) > MAX_PARAMETERS:
        raise ImagingError(f"model '{name}' has more than {MAX_PARAMETERS} parameters; make it smaller", "models.size")
    for module in skeleton.modules():
        if norm and isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d) and module.num_features % plan.norm_groups:
            raise ImagingError(
                f"model '{name}': norm_groups {plan.norm_groups} does not divide a layer of {module.num_features} "
                "channels; choose a divisor of all widths",
                "models.groups",
            )

"""Pretrained weights as a starting point: a local safetensors file that the signed study pins by its SHA-256.

`plan` says, by names and shapes alone, which parameters are loaded, which keep the values of the public seed, and
which are frozen: a frozen parameter is neither trained nor sent. Every name on either side is accounted for, so that a
file that fits in part is an error and not a worse model. safetensors holds arrays and nothing to execute; other
formats are not read (docs/decisions/0033-starting-weights-are-safetensors.md).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from imaging import bounded
from imaging.errors import ImagingError

if TYPE_CHECKING:
    from torch import nn

MAX_BYTES = 4 * 2**30
"""A larger file is refused unread."""

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
_CONSTANTS = ("running_mean", "running_var", "num_batches_tracked", "relative_position_index")
"""Ends of names of what a network here does not load: BatchNorm's statistics (GroupNorm takes its weight and bias
alone) and tables of positions, which follow from sizes."""


@dataclass(frozen=True)
class Source:
    """What a study says of its starting weights.

    Attributes:
        sha256: of the file, hex.
        rename: prefix in the file -> prefix in the network; the longest that fits is used.
        skip: prefixes in the network that keep the public seed's values, as a new head does; tensors of the file that
            go there are left out.
        ignore: prefixes in the file that are left out, as a second head is.
    """

    sha256: str
    rename: Mapping[str, str] = field(default_factory=dict)
    skip: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class Start:
    """The weights that a network starts from: what the study says of them, and the tensors of its file."""

    source: Source
    tensors: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Plan:
    """What becomes of each parameter of a network, in the order of `named_parameters`.

    Attributes:
        loaded: parameter -> tensor of the file.
        fresh: parameters with the values of the public seed.
        frozen: parameters that keep their values and are not sent.
        trained: the others.
    """

    loaded: Mapping[str, str]
    fresh: tuple[str, ...]
    frozen: tuple[str, ...]
    trained: tuple[str, ...]


def plan(network: Shapes, file: Shapes | None = None, source: Source | None = None, freeze: Sequence[str] = ()) -> Plan:
    """What to load and what to train.

    Args:
        network: parameter -> shape.
        file: tensor -> shape; None without starting weights.
        source: what the study says of them.
        freeze: prefixes of parameters.

    Raises:
        ImagingError: `pretrained.missing`, `pretrained.shape`, `pretrained.unused`, `pretrained.two_names`,
            `pretrained.prefix`: one that nothing begins with; `pretrained.all_frozen`.
        RuntimeError: one of `file` and `source` alone.
    """
    if (file is None) != (source is None):
        raise RuntimeError("a file of starting weights and what the study says of it belong together")
    loaded = {} if file is None or source is None else _loaded(network, file, source)
    for prefix in freeze:
        _refuse_idle(prefix, network)
    frozen = tuple(name for name in network if name.startswith(tuple(freeze)))
    trained = tuple(name for name in network if not name.startswith(tuple(freeze)))
    if not trained:
        raise ImagingError(
            "the study freezes every parameter of its model; leave some to train", "pretrained.all_frozen"
        )
    return Plan(
        MappingProxyType({name: loaded[name] for name in network if name in loaded}),
        tuple(name for name in network if name not in loaded),
        frozen,
        trained,
    )


def content(path: Path, sha256: str) -> bytes:
    """The bytes of a file of starting weights, if it is the one that the study pins.

    Raises:
        ImagingError: `pretrained.unreadable`, `pretrained.too_large`, `pretrained.digest`.
    """
    try:
        data = bounded.read(path, MAX_BYTES)
    except OSError as error:
        raise ImagingError(
            f"the starting weights cannot be read ({error.strerror}); check the file", "pretrained.unreadable"
        ) from error
    if len(data) > MAX_BYTES:
        raise ImagingError(f"the starting weights are larger than {MAX_BYTES} bytes", "pretrained.too_large")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ImagingError(
            "the starting weights are not those that the study pins; get the file with the SHA-256 that it names",
            "pretrained.digest",
        )
    return data


def read(path: Path, sha256: str) -> Mapping[str, NDArray[Any]]:
    """The tensors of a safetensors file, if it is the one that the study pins.

    Raises:
        ImagingError: as `content`, and `pretrained.format`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = content(path, sha256)
    try:
        return MappingProxyType(load(data))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ImagingError(
            "the starting weights are not a safetensors file of float32, float16 or float64", "pretrained.format"
        ) from error


def fill(network: "nn.Module", tensors: Mapping[str, NDArray[Any]], planned: Plan) -> None:
    """Put the planned tensors into a network, as float32.

    Raises:
        ImagingError: `pretrained.value`: a value is not finite, or not a real number.
    """
    import torch

    parameters = dict(network.named_parameters())
    values = {}
    for name, tensor in planned.loaded.items():
        with np.errstate(over="ignore"):
            value = tensors[tensor].astype(np.float32) if tensors[tensor].dtype.kind == "f" else np.array(np.nan)
        if not np.isfinite(value).all():
            raise ImagingError("a starting weight is not a finite real number", "pretrained.value")
        values[name] = value
    with torch.no_grad():
        for name, value in values.items():
            parameters[name].copy_(torch.from_numpy(np.ascontiguousarray(value)))


def shapes(network: "nn.Module") -> Shapes:
    """The parameters of a network, in order."""
    return {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}


def _loaded(network: Shapes, file: Shapes, source: Source) -> dict[str, str]:
    for prefix in source.skip:
        _refuse_idle(prefix, network)
    for prefix in (*source.rename, *source.ignore):
        _refuse_idle(prefix, file)
    loaded: dict[str, str] = {}
    for tensor, shape in file.items():
        name = _renamed(tensor, source.rename)
        if tensor.startswith(source.ignore) or name.startswith(source.skip) or name.endswith(_CONSTANTS):
            continue
        if name not in network:
            raise ImagingError(
                f"the starting weights have '{_shown(tensor)}', which the study's model has not; rename or ignore it",
                "pretrained.unused",
            )
        if name in loaded:
            raise ImagingError(f"two starting weights are for '{name}'; rename one of them", "pretrained.two_names")
        if shape != network[name]:
            raise ImagingError(
                f"the starting weight for '{name}' has the shape {list(shape)} and not {list(network[name])}; "
                "change the model's parameters or skip it",
                "pretrained.shape",
            )
        loaded[name] = tensor
    missing = [name for name in network if name not in loaded and not name.startswith(source.skip)]
    if missing:
        raise ImagingError(
            f"the starting weights lack '{missing[0]}' and {len(missing) - 1} others of the model; rename or skip",
            "pretrained.missing",
        )
    return loaded


def _renamed(tensor: str, rename: Mapping[str, str]) -> str:
    fitting = [prefix for prefix in rename if tensor.startswith(prefix)]
    if not fitting:
        return tensor
    longest = max(fitting, key=len)
    return rename[longest] + tensor[len(longest) :]


def _refuse_idle(prefix: str, names: Shapes) -> None:
    if not any(name.startswith(prefix) for name in names):
        raise ImagingError(f"nothing begins with the study's prefix '{prefix}'; correct it", "pretrained.prefix")


def _shown(tensor: str) -> str:
    """A name out of a file, safe to print."""
    return "".join(character if character.isprintable() else "?" for character in tensor[:100])

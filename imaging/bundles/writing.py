"""A trained network as a MONAI Bundle: a folder that `python -m monai.bundle` runs without Collegium.

    LICENSE                  what the consortium says of use
    configs/metadata.json    what goes in and comes out, versions, who made it
    configs/inference.json   the network, and a run from images.npy to logits.npy
    models/model.pt          weights as MONAI names them (the format that its commands load)
    docs/README.md           the model card

Images must be prepared as in the study; its transforms stand in metadata.json. The network is MONAI's class with plain
arguments wherever that is all there is to it; where MONAI has a BatchNorm that no argument replaces, or gives several
results, an expression says what to change.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError
from imaging.export import DESCRIPTION
from imaging.export import WEIGHTS as PLAIN_WEIGHTS

if TYPE_CHECKING:
    from torch import nn

METADATA = "configs/metadata.json"
INFERENCE = "configs/inference.json"
WEIGHTS = "models/model.pt"
README = "docs/README.md"
LICENSE = "LICENSE"
_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
_GROUP_NORM = (
    "(lambda net: ([net.set_submodule(path, torch.nn.GroupNorm(int(np.gcd({groups}, layer.num_features)), "
    "layer.num_features)) for path, layer in list(net.named_modules()) "
    "if isinstance(layer, (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d))], net)[1])"
)
_FIRST = "(lambda net: (setattr(net, 'forward', (lambda all: lambda image: all(image)[0])(net.forward)), net)[1])"


class Blueprint(Protocol):
    """How MONAI builds the network."""

    @property
    def network(self) -> str:
        """Class in `monai.networks.nets`."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Its keyword arguments, plain JSON values."""

    @property
    def norm_groups(self) -> int:
        """Groups of a GroupNorm in place of a BatchNorm that remains."""


@dataclass(frozen=True)
class Plan:
    """How a network that was exported is built: a `Blueprint`."""

    network: str
    arguments: Mapping[str, Any]
    norm_groups: int


@dataclass(frozen=True)
class About:
    """What a bundle says of itself.

    Attributes:
        name: of the model.
        task: what it does, a line.
        description: a few lines.
        authors: who made it.
        outputs: what each output value is, a line each.
        transforms: how images are prepared, in order, plain JSON.
        readme: Markdown.
        licence: text.
    """

    name: str
    task: str
    description: str
    authors: str
    outputs: tuple[str, ...]
    transforms: Sequence[Mapping[str, Any]]
    readme: str
    licence: str


def write(
    destination: Path,
    plan: Blueprint,
    weights: Mapping[str, NDArray[np.float32]],
    shape: Sequence[int],
    about: About,
) -> None:
    """Write a bundle into a new folder.

    Args:
        destination: must not exist.
        plan: MONAI's class and arguments.
        weights: every parameter of the network by MONAI's name, a layer of two names under one or both.
        shape: (C, *spatial) of an image; dense outputs are those with as many spatial axes.
        about: texts.

    Raises:
        ImagingError: `export.length`: the weights are not this network's; `export.storage`.
        RuntimeError: the outputs are not as many as described.
    """
    import torch

    network, steps = _built(plan)
    _fill(network, weights)
    with torch.no_grad():
        output = network.eval()(torch.zeros(1, *shape))
    if not isinstance(output, torch.Tensor):
        steps, output = [*steps, _FIRST], output[0]
    if output.shape[1] != len(about.outputs):
        raise RuntimeError("every output of the network needs a description")
    dense = output.ndim == len(shape) + 1
    try:
        for folder in ("configs", "models", "docs"):
            (destination / folder).mkdir(parents=True)
        for file, text in (
            (METADATA, _json(_metadata(shape, about, dense=dense))),
            (INFERENCE, _json(_inference(plan, steps, shape, dense=dense))),
            (README, about.readme),
            (LICENSE, about.licence),
        ):
            (destination / file).write_text(text, encoding="utf-8")
        torch.save(network.state_dict(), destination / WEIGHTS)
    except OSError as error:
        raise ImagingError(
            f"the bundle could not be written ({error.strerror}); name a new folder with room", "export.storage"
        ) from error


def exported(folder: Path) -> tuple[Plan, Mapping[str, NDArray[np.float32]]]:
    """What `imaging.export` wrote into a folder just now."""
    from safetensors.numpy import load_file

    said = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    return Plan(said["network"], said["arguments"], said["norm_groups"]), load_file(folder / PLAIN_WEIGHTS)


def _built(plan: Blueprint) -> "tuple[nn.Module, list[str]]":
    """The network, and the expressions that make it of MONAI's class."""
    import monai.networks.nets
    import torch

    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        network: nn.Module = getattr(monai.networks.nets, plan.network)(**plan.arguments)
    steps = []
    for path, layer in list(network.named_modules()):
        if isinstance(layer, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d):
            groups = math.gcd(plan.norm_groups, layer.num_features)
            network.set_submodule(path, torch.nn.GroupNorm(groups, layer.num_features))
            steps = [_GROUP_NORM.format(groups=plan.norm_groups)]
    return network, steps


def _fill(network: "nn.Module", weights: Mapping[str, NDArray[np.float32]]) -> None:
    import torch

    parameters = dict(network.named_parameters())
    known = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if not set(parameters) <= set(weights) or any(known.get(name) != array.shape for name, array in weights.items()):
        raise ImagingError("the weights do not belong to this network", "export.length")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(weights[name], dtype=np.float32)))


def _inference(plan: Blueprint, steps: Sequence[str], shape: Sequence[int], *, dense: bool) -> dict[str, Any]:
    network = {"_target_": f"monai.networks.nets.{plan.network}", **plan.arguments}
    expression = "@monai_network"
    for step in steps:
        expression = f"{step}({expression})"
    built: dict[str, Any] = (
        {"monai_network": network, "network_def": f"${expression}"} if steps else {"network_def": network}
    )
    window = {"_target_": "SlidingWindowInferer", "roi_size": list(shape[1:]), "sw_batch_size": 1, "overlap": 0.5}
    return {
        "bundle_root": ".",
        "images": "$@bundle_root + '/images.npy'",
        "logits": "$@bundle_root + '/logits.npy'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        **built,
        "network": "$@network_def.to(@device)",
        "weights": f"$torch.load(@bundle_root + '/{WEIGHTS}', map_location=@device, weights_only=True)",
        "inferer": window if dense else {"_target_": "SimpleInferer"},
        "run": [
            "$torch.set_grad_enabled(False)",
            "$@network.load_state_dict(@weights)",
            "$@network.eval()",
            "$np.save(@logits, @inferer(torch.from_numpy(np.load(@images)).to(@device), @network).cpu().numpy())",
        ],
    }


def _metadata(shape: Sequence[int], about: About, *, dense: bool) -> dict[str, Any]:
    tensor = {"dtype": "float32", "value_range": [], "is_patch_data": False}
    image = {
        "type": "image",
        "format": "magnitude",
        "modality": "n/a",
        "num_channels": shape[0],
        "spatial_shape": list(shape[1:]),
        "channel_def": {str(index): "image" for index in range(shape[0])},
    }
    logits = {
        "type": "image" if dense else "probabilities",
        "format": "classes",
        "modality": "n/a",
        "num_channels": len(about.outputs),
        "spatial_shape": list(shape[1:]) if dense else [],
        "channel_def": {str(index): line for index, line in enumerate(about.outputs)},
    }
    return {
        "schema": _SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": "exported"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {},
        "optional_packages_version": {},
        "name": about.name,
        "task": about.task,
        "description": about.description,
        "authors": about.authors,
        "copyright": about.authors,
        "intended_use": "Research. Not a medical device, and not validated for clinical use.",
        "transforms": list(about.transforms),
        "network_data_format": {
            "inputs": {"image": image | tensor},
            "outputs": {"pred": logits | tensor},
        },
    }


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"

"""The trained network as files that MONAI, torch and safetensors load without Collegium.

`model.safetensors` holds the weights, float32, under MONAI's own names; `model.json` the MONAI class with
its arguments. `LOADING_SNIPPET` is the whole of what a reader needs; a test runs it in a process that cannot
import Collegium. What the model is, and at what privacy cost, is said by the model card, not here.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError
from imaging.networks import building
from imaging.networks.allowed import IMAGES, Problem
from imaging.networks.pretrained import Start
from imaging.parameters import Parameter

WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
FORMAT = "collegium-model/1"

LOADING_SNIPPET = """\
import json
from math import gcd
import torch
from monai.networks import nets
from safetensors.torch import load_file

with open("model.json") as file:
    model = json.load(file)
network = getattr(nets, model["network"])(**model["arguments"])
for path, module in list(network.named_modules()):
    if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d):  # where MONAI takes no other norm
        groups = gcd(model["norm_groups"], module.num_features)
        network.set_submodule(path, torch.nn.GroupNorm(groups, module.num_features))
network.load_state_dict(load_file("model.safetensors"))
network.eval()  # images (batch, channels, *spatial) -> logits (batch, outputs, ...); a ViT's are the first of a pair
"""
"""Plain MONAI code that rebuilds the network, run in the folder of the two files."""


def write(
    name: str,
    parameters: Mapping[str, Parameter],
    vector: NDArray[np.float64],
    destination: Path,
    problem: Problem = IMAGES,
    seed: int = 0,
    freeze: Sequence[str] = (),
    start: Start | None = None,
) -> None:
    """Write the two files into an existing folder.

    Args:
        name: the study's model.
        parameters: its parameters.
        vector: all trained weights, flat, in the order of `named_parameters`; rounded to float32.
        destination: folder; the files must not be there yet.
        problem: what the study's task asks of a network.
        seed: of the study's model; decides the weights that were frozen, where `start` does not.
        freeze: the study's prefixes of parameters that were not trained.
        start: the weights that the study started from.

    Raises:
        ImagingError: as `building.build`; `export.length`: the vector is not this network's;
            `export.value`: a weight is not finite; `export.storage`: the disk refused, or a file exists.
    """
    from safetensors.numpy import save

    network = building.build(name, parameters, seed, problem, freeze, start)
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    sizes = [weight.numel() for weight in trained]
    if vector.shape != (sum(sizes),):
        raise ImagingError("the weights do not belong to this network", "export.length")
    rounded = vector.astype(np.float32)
    if not np.isfinite(rounded).all():
        raise ImagingError("a weight of the model is not a finite number", "export.value")
    for weight, piece in zip(trained, np.split(rounded, np.cumsum(sizes)[:-1]), strict=True):
        weight.detach().numpy()[...] = piece.reshape(weight.shape)
    plan = building.blueprint(name, parameters, problem)
    plain = building.plain(plan)  # a layer that MONAI registers twice is in its file twice, as `load_state_dict` asks
    plain.load_state_dict(network.state_dict(), strict=False)
    tensors = {path: tensor.numpy().copy() for path, tensor in plain.state_dict().items()}
    description = {
        "format": FORMAT,
        "network": plan.network,
        "arguments": dict(plan.arguments),
        "norm_groups": plan.norm_groups,
        "made_from": {"model": name, "parameters": dict(parameters)},
    }
    try:
        for file, data in (
            (WEIGHTS, save(tensors, {"format": "pt"})),
            (DESCRIPTION, json.dumps(description, indent=2).encode() + b"\n"),
        ):
            with (destination / file).open("xb") as target:
                target.write(data)
    except OSError as error:
        raise ImagingError(
            f"the model could not be written ({error.strerror}); name an empty folder with room", "export.storage"
        ) from error

"""The trained network as files that MONAI, torch and safetensors load without Collegium.

`model.safetensors` holds the weights, float32, under MONAI's own names; `model.json` the MONAI class with
its arguments. `LOADING_SNIPPET` is the whole of what a reader needs; a test runs it in a process that cannot
import Collegium. What the model is, and at what privacy cost, is said by the model card, not here.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging import models
from imaging.errors import ImagingError
from imaging.parameters import Parameter

WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
FORMAT = "collegium-model/1"

LOADING_SNIPPET = """\
import json
import torch
from monai.networks import nets
from safetensors.torch import load_file

with open("model.json") as file:
    model = json.load(file)
network = getattr(nets, model["network"])(**model["arguments"])
for path, module in list(network.named_modules()):
    if isinstance(module, torch.nn.BatchNorm2d):  # MONAI's ResNet ignores `norm` within its blocks
        network.set_submodule(path, torch.nn.GroupNorm(model["norm_groups"], module.num_features))
network.load_state_dict(load_file("model.safetensors"))
network.eval()  # images (batch, 1, rows, columns) -> logits (batch, 1)
"""
"""Plain MONAI code that rebuilds the network, run in the folder of the two files."""


def write(name: str, parameters: Mapping[str, Parameter], vector: NDArray[np.float64], destination: Path) -> None:
    """Write the two files into an existing folder.

    Args:
        name: the study's model.
        parameters: its parameters.
        vector: all weights, flat, in the order of `named_parameters`; rounded to float32.
        destination: folder; the files must not be there yet.

    Raises:
        ImagingError: as `models.build`; `export.length`: the vector is not this network's;
            `export.value`: a weight is not finite; `export.storage`: the disk refused, or a file exists.
    """
    from safetensors.numpy import save

    network = models.build(name, parameters, seed=0)
    shapes = {path: tuple(weight.shape) for path, weight in network.named_parameters()}
    sizes = [int(np.prod(shape)) for shape in shapes.values()]
    if vector.shape != (sum(sizes),):
        raise ImagingError("the weights do not belong to this network", "export.length")
    rounded = vector.astype(np.float32)
    if not np.isfinite(rounded).all():
        raise ImagingError("a weight of the model is not a finite number", "export.value")
    pieces = np.split(rounded, np.cumsum(sizes)[:-1])
    tensors = {path: piece.reshape(shape) for (path, shape), piece in zip(shapes.items(), pieces, strict=True)}
    plan = models.blueprint(name, parameters)
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

"""A study's model out of a local MONAI Bundle, as a draft needs it. Nothing of the bundle is executed."""

import hashlib
import json
from pathlib import Path

from imaging.bundles import definition, mapping
from imaging.networks import building, pretrained
from privacy.digest import Json
from privacy.errors import ConfigError
from silo_node.imaging_errors import imaging_errors


def model(configuration: Path, weights: Path | None) -> dict[str, Json]:
    """What a draft says of the network that a bundle's configuration defines.

    Args:
        configuration: of the bundle, such as `configs/inference.json`.
        weights: a safetensors file to start from, which must fit.

    Raises:
        DataError: the configuration is not plain, the network is none of ours, or the weights do not fit.
        ConfigError: the weights cannot be read.
    """
    with imaging_errors():
        said = definition.read(configuration)
        found = mapping.start(said)
        parameters: dict[str, Json] = json.loads(json.dumps(dict(found.parameters)))
        section: dict[str, Json] = {"name": found.model, "parameters": parameters, "seed": 1}
        if weights is not None:
            digest = _sha256(weights)
            tensors = pretrained.read(weights, digest)
            network = building.build(found.model, found.parameters, 1, found.problem)
            shapes = {name: tensor.shape for name, tensor in tensors.items()}
            pretrained.plan(pretrained.shapes(network), shapes, pretrained.Source(digest))
            section["pretrained"] = {"sha256": digest}
    problem = found.problem
    return {
        "model": section,
        "dimensions": problem.dimensions,
        "channels": problem.channels,
        "outputs": problem.outputs,
        "segmentation": problem.dense,
        "not_followed": list(found.differences),
        "configuration_sha256": said.sha256,
    }


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(
            f"cannot read the weights: {error.strerror}; check the file", code="config.unreadable"
        ) from error

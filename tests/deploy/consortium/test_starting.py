"""A draft's model out of a bundle: what is printed builds the bundle's network, and weights that fit are pinned."""

import hashlib
import json

import pytest
from safetensors.numpy import save_file

from deploy.consortium import starting
from imaging.networks import building
from privacy.errors import ConfigError, DataError
from privacy.study import Model

UNET = {"_target_": "UNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]}


@pytest.fixture
def bundle(tmp_path):
    def bundle(**changes):
        path = tmp_path / "inference.json"
        path.write_text(json.dumps({"network_def": UNET | changes}))
        return path

    return bundle


def test_the_network_is_said_as_a_draft_needs_it(bundle):
    said = starting.model(bundle(dropout=0.1), None)
    read = Model.model_validate_json(json.dumps(said["model"]))
    assert (read.name, said["not_followed"], said["segmentation"]) == ("unet", ["dropout"], True)
    assert (said["dimensions"], said["channels"], said["outputs"]) == (2, 1, 2)
    assert said["configuration_sha256"] == hashlib.sha256(bundle(dropout=0.1).read_bytes()).hexdigest()


def test_weights_that_fit_are_pinned_and_others_refused(bundle, tmp_path):
    problem = building.Problem(2, 1, 2, dense=True)
    network = building.build("unet", {"widths": [4, 8], "strides": [2], "residual_units": 0}, 3, problem)
    tensors = {name: parameter.detach().numpy() for name, parameter in network.named_parameters()}
    path = tmp_path / "start.safetensors"
    save_file(tensors, path)
    said = starting.model(bundle(), path)
    assert said["model"]["pretrained"] == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    with pytest.raises(DataError) as caught:
        starting.model(bundle(channels=[4, 16]), path)
    assert caught.value.code == "pretrained.shape"
    with pytest.raises(ConfigError):
        starting.model(bundle(), tmp_path / "absent")


def test_what_would_be_executed_is_refused(bundle):
    with pytest.raises(DataError) as caught:
        starting.model(bundle(channels="$[4, 8]"), None)
    assert caught.value.code == "bundle.expression"

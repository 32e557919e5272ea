import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks import nets

from imaging.bundles import writing
from imaging.errors import ImagingError

GROUP = ["group", {"num_groups": 2}]
RELU = ["relu", {"inplace": False}]
CASES = {
    "plain arguments": (
        "DenseNet",
        {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "init_features": 4, "growth_rate": 4,
         "block_config": [1, 1], "norm": GROUP, "act": RELU},
        (1, 32, 32),
        2,
    ),
    "a BatchNorm that no argument replaces": (
        "AttentionUnet",
        {"spatial_dims": 2, "in_channels": 1, "out_channels": 3, "channels": [4, 6], "strides": [2]},
        (1, 16, 16),
        3,
    ),
    "several results": (
        "ViT",
        {"in_channels": 1, "img_size": [16, 16], "patch_size": [8, 8], "hidden_size": 8, "mlp_dim": 8, "num_layers": 1,
         "num_heads": 2, "classification": True, "num_classes": 2, "post_activation": "none", "spatial_dims": 2},
        (1, 16, 16),
        2,
    ),
    "layers with two names, in three dimensions": (
        "DynUNet",
        {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "kernel_size": [3, 3, 3], "strides": [1, 2, 2],
         "upsample_kernel_size": [2, 2], "filters": [2, 4, 4], "norm_name": ["instance", {"affine": True}]},
        (1, 16, 16, 16),
        2,
    ),
}  # fmt: skip
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def private(network, arguments):
    """MONAI's network as it was trained: GroupNorm for BatchNorm, the first result alone."""
    torch.manual_seed(5)
    made = getattr(nets, network)(**arguments)
    for path, layer in list(made.named_modules()):
        if isinstance(layer, torch.nn.BatchNorm2d):
            made.set_submodule(path, torch.nn.GroupNorm(int(np.gcd(2, layer.num_features)), layer.num_features))
    return made.eval()


def about(outputs):
    return writing.About(
        "trial", "a task", "a description", "a consortium", tuple(f"logit {i}" for i in range(outputs)),
        [{"name": "standardise", "parameters": {}}], "# Trial\n", "Ask the consortium.\n",
    )  # fmt: skip


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    network, arguments, shape, outputs = CASES[request.param]
    made = private(network, arguments)
    plan = SimpleNamespace(network=network, arguments=arguments, norm_groups=2)
    weights = {name: parameter.detach().numpy() for name, parameter in made.named_parameters()}
    folder = tmp_path / "bundle"
    writing.write(folder, plan, weights, shape, about(outputs))
    images = torch.linspace(-1, 1, 2 * int(np.prod(shape))).reshape(2, *shape)
    np.save(folder / "images.npy", images.numpy())
    with torch.no_grad():
        logits = made(images)
    return folder, (logits if isinstance(logits, torch.Tensor) else logits[0]).numpy()


def test_monai_runs_the_configuration(case, monkeypatch):
    folder, expected = case
    monkeypatch.chdir(folder)
    parser = ConfigParser()
    parser.read_config(writing.INFERENCE)
    try:
        parser.get_parsed_content("run")
    finally:
        torch.set_grad_enabled(True)
    np.testing.assert_allclose(np.load("logits.npy"), expected, rtol=1e-4, atol=1e-4)
    assert (folder / "LICENSE").read_text() == "Ask the consortium.\n"


@pytest.mark.slow
def test_its_own_commands_run_it_where_collegium_cannot_be_imported(case, tmp_path):
    folder, expected = case
    required = (  # by the bundle specification
        "version monai_version pytorch_version numpy_version optional_packages_version task description authors "
        "copyright network_data_format"
    )
    schema = {"type": "object", "required": required.split()}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    block = tmp_path / "site"
    block.mkdir()
    (block / "sitecustomize.py").write_text(
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('imaging', 'privacy', 'silo_node'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
    )
    files = ["--config_file", writing.INFERENCE, "--meta_file", writing.METADATA]
    for command in (
        ["run", *files],
        ["verify_net_in_out", "network_def", *files],
        ["verify_metadata", "--meta_file", writing.METADATA, "--filepath", str(tmp_path / "schema.json")],
    ):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "monai.bundle", *command],
            cwd=folder,
            env=ENVIRONMENT | {"PYTHONPATH": str(block)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(folder / "logits.npy"), expected, rtol=1e-4, atol=1e-4)


def test_wrong_weights_and_existing_folders_are_refused(tmp_path):
    network, arguments, shape, outputs = CASES["plain arguments"]
    plan = SimpleNamespace(network=network, arguments=arguments, norm_groups=2)
    made = private(network, arguments)
    weights = {name: parameter.detach().numpy() for name, parameter in made.named_parameters()}
    some = dict(list(weights.items())[1:])
    with pytest.raises(ImagingError) as caught:
        writing.write(tmp_path / "x", plan, some, shape, about(outputs))
    assert caught.value.code == "export.length"
    with pytest.raises(RuntimeError):
        writing.write(tmp_path / "x", plan, weights, shape, about(outputs + 1))
    assert not (tmp_path / "x").exists()
    writing.write(tmp_path / "x", plan, weights, shape, about(outputs))
    with pytest.raises(ImagingError) as caught:
        writing.write(tmp_path / "x", plan, weights, shape, about(outputs))
    assert caught.value.code == "export.storage"


def test_it_says_what_goes_in_and_comes_out(case):
    folder, expected = case
    metadata = json.loads((folder / writing.METADATA).read_text())
    formats = metadata["network_data_format"]
    assert formats["outputs"]["pred"]["num_channels"] == expected.shape[1]
    assert formats["outputs"]["pred"]["spatial_shape"] == list(expected.shape[2:])
    assert metadata["transforms"] == [{"name": "standardise", "parameters": {}}]
    for file in (writing.METADATA, writing.INFERENCE):
        assert str(folder) not in (folder / file).read_text()

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from imaging import export
from imaging.errors import ImagingError
from imaging.networks import building

NETWORKS = [
    ("resnet", {"layers": [1, 1, 1, 1], "widths": [8, 8, 16, 16], "norm_groups": 4}),
    ("densenet", {"init_features": 8, "growth_rate": 8, "block_config": [3, 1], "activation": "gelu"}),
    ("classifier", {"size": [64, 64], "widths": [8, 16], "strides": [2, 2], "residual_units": 1}),
    ("efficientnet", {"width": 0.1, "depth": 0.3, "image_size": 64}),
]
RUN_EACH = """
import os, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("imaging", "privacy", "silo_node"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
snippet = open("snippet.py").read()
for folder in sys.argv[1:]:
    os.chdir(folder)
    space = {}
    exec(snippet, space)
    torch = space["torch"]
    images = torch.linspace(-1, 1, 2 * 64 * 64).reshape(2, 1, 64, 64)
    print(*space["network"](images).flatten().tolist())
"""


def vector_of(network):
    return torch.cat([weight.detach().flatten() for weight in network.parameters()]).double().numpy()


@pytest.mark.slow
def test_plain_monai_code_rebuilds_every_network(tmp_path):
    images = torch.linspace(-1, 1, 2 * 64 * 64).reshape(2, 1, 64, 64)
    expected, folders = [], []
    for name, parameters in NETWORKS:
        network = building.build(name, parameters, seed=3)
        folder = tmp_path / name
        folder.mkdir()
        export.write(name, parameters, vector_of(network), folder)
        expected.append(network(images).flatten().tolist())
        folders.append(str(folder))
    (tmp_path / "snippet.py").write_text(export.LOADING_SNIPPET)
    command = [sys.executable, "-W", "ignore", "-c", RUN_EACH, *folders]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    logits = [[float(value) for value in line.split()] for line in done.stdout.splitlines()]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_description_is_plain_json_without_a_path(tmp_path):
    name, parameters = NETWORKS[0]
    export.write(name, parameters, vector_of(building.build(name, parameters, seed=1)), tmp_path)
    description = json.loads((tmp_path / export.DESCRIPTION).read_text())
    assert description["network"] == "ResNet"
    assert description["made_from"] == {"model": name, "parameters": parameters}
    assert str(tmp_path) not in json.dumps(description)


def test_wrong_weights_and_existing_files_are_refused(tmp_path):
    name, parameters = NETWORKS[0]
    vector = vector_of(building.build(name, parameters, seed=1))
    for wrong, code in [
        (vector[:-1], "export.length"),
        (np.where(np.arange(vector.size) == 5, np.nan, vector), "export.value"),
        (np.full(vector.size, 1e300), "export.value"),
    ]:
        with pytest.raises(ImagingError) as caught, np.errstate(over="ignore"):
            export.write(name, parameters, wrong, tmp_path)
        assert caught.value.code == code
        assert not list(tmp_path.iterdir())
    export.write(name, parameters, vector, tmp_path)
    with pytest.raises(ImagingError) as caught:
        export.write(name, parameters, vector, tmp_path)
    assert caught.value.code == "export.storage"

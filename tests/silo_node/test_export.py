"""The export of a finished study: files that fit together, a bundle that MONAI runs, and an entry in the ledger."""

import json

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from safetensors.numpy import load_file

from privacy.errors import ConfigError
from privacy.secagg.ranges import Ranges
from silo_node import export as exporting
from silo_node.learning import layout
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.server_optimizer import OptimizerState
from tests.privacy.studies import study

STUDY = study(
    model={
        "name": "resnet",
        "seed": 1,
        "parameters": {"layers": [1, 1, 1, 1], "widths": [8, 8, 8, 8], "norm_groups": 4},
    },
    transforms=[{"name": "resize", "parameters": {"size": [32, 32]}}],
)


class Entries:
    """Stands in for the ledger: what is appended."""

    def __init__(self):
        self.kinds = []
        self.entries = ()

    def append(self, kind, body, details=None):
        self.kinds.append(kind)


@pytest.fixture(scope="module")
def weights():
    count = layout.of_study(STUDY).parameters
    return np.random.default_rng(1).normal(scale=0.1, size=count)


def finished(weights, rounds=STUDY.training.rounds + 1):
    return GlobalModel(OptimizerState.initial(weights), Ranges((0,)), rounds, b"c" * 32)


def test_the_bundle_is_the_exported_model(tmp_path, weights, monkeypatch):
    entries, folder = Entries(), tmp_path / "model"
    card = exporting.export(STUDY, finished(weights), entries, folder)
    assert entries.kinds == ["exported"]
    assert (folder / "bundle/docs/README.md").read_text() == card.markdown()
    metadata = json.loads((folder / "bundle/configs/metadata.json").read_text())
    assert metadata["name"] == STUDY.name
    assert metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] == [32, 32]
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "opacity"}
    assert metadata["transforms"] == [{"name": "resize", "parameters": {"size": [32, 32]}}]
    space: dict[str, object] = {}
    monkeypatch.chdir(folder)
    exec(exporting.files.LOADING_SNIPPET, space)
    images = torch.linspace(-1, 1, 2 * 32 * 32).reshape(2, 1, 32, 32)
    with torch.no_grad():
        expected = space["network"](images)
    monkeypatch.chdir("bundle")
    np.save("images.npy", images.numpy())
    parser = ConfigParser()
    parser.read_config("configs/inference.json")
    try:
        parser.get_parsed_content("run")
    finally:
        torch.set_grad_enabled(True)
    np.testing.assert_allclose(np.load("logits.npy"), expected.numpy(), rtol=1e-4, atol=1e-5)
    plain = load_file("../model.safetensors")
    stored = torch.load("models/model.pt", weights_only=True)
    assert all(np.array_equal(stored[name].numpy(), tensor) for name, tensor in plain.items())


def test_what_is_not_finished_or_would_be_overwritten_is_refused(tmp_path, weights):
    entries = Entries()
    with pytest.raises(ConfigError) as caught:
        exporting.export(STUDY, finished(weights, 3), entries, tmp_path / "model")
    assert caught.value.code == "export.unfinished"
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as caught:
        exporting.export(STUDY, finished(weights), entries, tmp_path)
    assert caught.value.code == "export.not_empty"
    assert entries.kinds == []

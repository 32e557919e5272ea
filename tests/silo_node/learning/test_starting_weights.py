"""A study that starts from public weights: approval, two silos' learning, audit and export all have the pinned file."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from imaging.networks import building
from privacy.dp.gradients import model_vector
from privacy.errors import CollegiumError, ConfigError, DataError
from privacy.learning import Model
from privacy.randomness import SecureStream
from privacy.secagg.ranges import Ranges
from privacy.study import Study, Training
from silo_node import export as exporting
from silo_node.approvals import approval, checks, costs, explanation
from silo_node.audits import attacks
from silo_node.audits.attacks import Effort
from silo_node.learning import layout, tasks
from silo_node.learning.learner import Learner
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.server_optimizer import OptimizerState
from tests.privacy import studies
from tests.silo_node.approvals.hospital import ALL, OPEN, Site
from tests.silo_node.learning.test_learner import DISK, UNET, Balls, InMemory
from tests.silo_node.learning.test_learner import study as segmentation
from tests.silo_node.test_export import Entries

FROZEN = "model.0."
SKIPPED = "model.2."
Tensors = dict[str, NDArray[np.float32]]


def tensors(seed: int, widths: tuple[int, int] = (4, 8)) -> Tensors:
    """Weights of the tests' network as somebody else trained it: those of another seed."""
    problem = tasks.task(segmentation()).problem
    network = building.build("unet", {**UNET, "widths": list(widths)}, seed, problem)
    return {name: weight.detach().numpy().copy() for name, weight in network.named_parameters()}


def pinned(path: Path, freeze: tuple[str, ...] = (FROZEN,), **said: Any) -> Study:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    model = {"name": "unet", "parameters": UNET, "seed": 1, "freeze": freeze, "pretrained": {"sha256": sha256, **said}}
    plain = segmentation()
    plain = plain.model_copy(
        update={
            "training": Training(rounds=1, local_steps=2, learning_rate=0.1),
            "privacy": plain.privacy.model_copy(update={"sampling_rate": 1.0}),
        }
    )
    return studies.study().model_copy(
        update={key: getattr(plain, key) for key in ("task", "transforms", "privacy", "evaluation", "training")}
        | {"model": Model.model_validate_json(json.dumps(model))}
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "public.safetensors"
    path.write_bytes(save(tensors(7)))
    return path


def learner_of(said: Study, weights: Path | None, seed: int = 1) -> Learner:
    return Learner(said, InMemory((Balls(1, seed), Balls(2, seed + 50))), SecureStream(), DISK, weights)


def refused(error: type[CollegiumError], code: str, said: Study, weights: Path | None) -> None:
    with pytest.raises(error) as caught:
        tasks.network(said, weights)
    assert caught.value.code == code


def test_the_network_has_the_files_weights_and_the_seeds_where_it_is_told_to_skip(file: Path) -> None:
    said, given, fresh = pinned(file, skip=[SKIPPED]), tensors(7), tensors(1)
    network = tasks.network(said, file)
    for name, weight in network.named_parameters():
        expected = fresh if name.startswith(SKIPPED) else given
        assert np.array_equal(weight.detach().numpy(), expected[name]), name
        assert weight.requires_grad != name.startswith(FROZEN)
    assert any(not np.array_equal(given[name], fresh[name]) for name in given if name.startswith(SKIPPED))
    # Who signs sees the same length as a silo sends, and as a study of the seed would have.
    part = said.model.model_copy(update={"pretrained": None})
    assert layout.of_study(said, file) == layout.of_study(said.model_copy(update={"model": part}))


def test_two_silos_train_from_the_file_and_the_export_is_whole(file: Path, tmp_path: Path) -> None:
    """The round's sum is made in the open here: what is tested is what goes in and comes out at the silos."""
    said, given = pinned(file), tensors(7)
    silos = [learner_of(said, file, seed) for seed in (1, 2)]
    start = silos[0].initial_vector()
    assert np.array_equal(start, silos[1].initial_vector())
    trained = [name for name in given if not name.startswith(FROZEN)]
    assert np.array_equal(start, np.concatenate([given[name].ravel() for name in trained]).astype(np.float64))
    silos[0].preflight()
    updates = [silo.train(start, 1).consume() for silo in silos]
    assert all(update.size == start.size and update.any() for update in updates)
    vector = start + np.mean(updates, axis=0)
    entries, folder = Entries(), tmp_path / "model"
    finished = GlobalModel(OptimizerState.initial(vector), Ranges((0,)), said.training.rounds + 1, b"c" * 32)
    card = exporting.export(said, finished, entries, folder, file)  # type: ignore[arg-type]
    written = load_file(folder / "model.safetensors")
    stored = torch.load(folder / "bundle/models/model.pt", weights_only=True)
    for name, tensor in given.items():
        assert np.array_equal(written[name], tensor) or not name.startswith(FROZEN), name
        assert np.array_equal(stored[name].numpy(), written[name])
    sent = np.concatenate([written[name].ravel() for name in trained])
    assert np.array_equal(sent, vector.astype(np.float32))
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert card.data["starting_weights"] == sha256
    assert f"SHA-256 `{sha256}`; the data that these were trained on is not covered" in card.markdown()
    # Metrics are of the whole network, with its frozen part from the file.
    silos[0].evaluate(vector)
    frozen = {name: weight for name, weight in silos[0]._network.named_parameters() if name.startswith(FROZEN)}
    assert frozen
    assert all(np.array_equal(weight.detach().numpy(), given[name]) for name, weight in frozen.items())


def test_an_export_needs_the_file_too(file: Path, tmp_path: Path) -> None:
    said = pinned(file)
    vector = model_vector(tasks.network(said, file))
    finished = GlobalModel(OptimizerState.initial(vector), Ranges((0,)), said.training.rounds + 1, b"c" * 32)
    with pytest.raises(ConfigError) as caught:
        exporting.export(said, finished, Entries(), tmp_path / "model")  # type: ignore[arg-type]
    assert caught.value.code == "weights.missing"
    assert not (tmp_path / "model").exists()


def test_nothing_is_built_without_the_file_or_with_another(file: Path, tmp_path: Path) -> None:
    said = pinned(file)
    refused(ConfigError, "weights.missing", said, None)
    refused(ConfigError, "weights.missing", said, tmp_path / "absent")
    with pytest.raises(ConfigError):
        learner_of(said, None)
    protected = said.model_copy(update={"privacy": studies.study().privacy})
    with pytest.raises(ConfigError) as caught:
        attacks.perform(protected, Effort(1, 1, 16), lambda what, done, of: None, 1)
    assert caught.value.code == "weights.missing"
    altered = tmp_path / "altered"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    altered.write_bytes(data)
    refused(DataError, "pretrained.digest", said, altered)
    other = tmp_path / "other"
    other.write_bytes(save(tensors(7, widths=(4, 16))))
    refused(DataError, "pretrained.shape", pinned(other), other)
    refused(ConfigError, "weights.unused", segmentation(), file)


def test_an_approval_keeps_the_file_and_a_run_takes_it_from_there(file: Path, tmp_path: Path) -> None:
    said, site = pinned(file), Site(tmp_path)
    price = costs.Cost(0.0, 1.0, costs.budget_filter(OPEN).cap((), "chest"))
    terms = explanation.describe(said, "chest", 10, price)
    assert "public weights, compared: SHA-256" in terms
    assert "not covered by\n              this budget" in terms
    assert f"never sent: all that begins with {FROZEN}" in terms
    source = site.file(said)
    for wrong in (None, source):
        with pytest.raises(CollegiumError):
            checks.check_weights(said, wrong)
        with pytest.raises(CollegiumError):
            approval.record(source, said, "chest", "Dr Who", ALL, OPEN, site.folder, site.ledger, wrong)
        assert site.kinds() == []
        assert site.folder.weights is None
    checks.check_weights(said, file)
    approval.record(source, said, "chest", "Dr Who", ALL, OPEN, site.folder, site.ledger, file)
    kept = site.folder.weights
    assert kept is not None
    assert kept.read_bytes() == file.read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert np.array_equal(learner_of(said, kept).initial_vector(), learner_of(said, file).initial_vector())
    kept.chmod(0o600)
    kept.write_bytes(b"\x00")
    refused(DataError, "pretrained.digest", said, kept)


def test_a_study_of_the_seed_stores_no_file(tmp_path: Path, file: Path) -> None:
    site, said = Site(tmp_path), studies.study()
    checks.check_weights(said, None)
    with pytest.raises(ConfigError) as caught:
        checks.check_weights(said, file)
    assert caught.value.code == "weights.unused"
    site.approve(said, ALL)
    assert site.folder.weights is None

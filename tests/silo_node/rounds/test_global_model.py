"""The stored model comes back exactly, or is refused as damaged; a refused write leaves the old one."""

import errno
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save

from privacy.errors import CorruptState, StorageError
from privacy.secagg.chain import Outcome
from privacy.secagg.ranges import Ranges
from privacy.update import UpdateLayout
from silo_node.rounds.global_model import GlobalModel, digest
from silo_node.rounds.server_optimizer import OptimizerState

any_float = st.floats(allow_nan=False, allow_infinity=False)
LAYOUT = UpdateLayout((("a", (3,)), ("b", ())), 0)
RANGES = Ranges((-12, 4))
SOUND = dict.fromkeys(("weights", "average", "first", "second"), np.zeros(4)) | {"ranges": np.array([-12, 4], np.int8)}
vectors = arrays.arrays(np.float64, 4, elements=any_float)


def model(weights: float = 1.5, round_number: int = 3) -> GlobalModel:
    vector = np.full(4, weights)
    return GlobalModel(OptimizerState(vector, vector * 2, vector * 3, vector * 4, 7), RANGES, round_number, b"c" * 32)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(vectors, vectors, vectors, vectors, st.integers(0, 10**6), st.sampled_from(Outcome))
def test_it_comes_back_bit_for_bit(tmp_path: Path, weights, average, first, second, steps, outcome) -> None:  # type: ignore[no-untyped-def]
    made = GlobalModel(OptimizerState(weights, average, first, second, steps), RANGES, 9, b"\x01" * 32, outcome)
    made.store(tmp_path / "model")
    read = GlobalModel.load(tmp_path / "model", LAYOUT)
    for name in ("weights", "average", "first", "second"):
        assert getattr(read.optimizer, name).tobytes() == getattr(made.optimizer, name).tobytes()
    assert read.ranges == RANGES
    assert (read.round_number, read.chain, read.outcome, read.optimizer.steps) == (9, b"\x01" * 32, outcome, steps)


def test_the_file_is_private(tmp_path: Path) -> None:
    model().store(tmp_path / "model")
    assert (tmp_path / "model").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 50, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, cut: int) -> None:
    model().store(tmp_path / "model")
    (tmp_path / "model").write_bytes((tmp_path / "model").read_bytes()[:cut])
    with pytest.raises(CorruptState):
        GlobalModel.load(tmp_path / "model", LAYOUT)


@pytest.mark.parametrize("missing", ["round", "chain", "steps", "outcome"])
def test_missing_metadata_is_refused(tmp_path: Path, missing: str) -> None:
    metadata = {"round": "1", "chain": "ab" * 32, "steps": "1", "outcome": "closed"}
    del metadata[missing]
    (tmp_path / "model").write_bytes(save(SOUND, metadata))
    with pytest.raises(CorruptState):
        GlobalModel.load(tmp_path / "model", LAYOUT)


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({"weights": np.zeros(5)}, {}),
        ({"weights": np.zeros(4, np.float32)}, {}),
        ({"weights": np.zeros((2, 2))}, {}),
        ({"ranges": np.array([0], np.int8)}, {}),
        ({"ranges": np.array([0, 0], np.int16)}, {}),
        ({"ranges": np.array([0, 5], np.int8)}, {}),
        ({"ranges": np.array(0, np.int8)}, {}),
        ({"ranges": np.array([[0, 0]], np.int8)}, {}),
        ({}, {"chain": "ab" * 31}),
        ({}, {"chain": "xy" * 32}),
        ({}, {"round": "one"}),
        ({}, {"outcome": "lost"}),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, tensors: dict[str, object], metadata: dict[str, str]) -> None:
    sound = SOUND | tensors
    right = {"round": "1", "chain": "ab" * 32, "steps": "1", "outcome": "closed"} | metadata
    (tmp_path / "model").write_bytes(save(sound, right))  # type: ignore[arg-type]
    with pytest.raises(CorruptState):
        GlobalModel.load(tmp_path / "model", LAYOUT)


def test_the_model_of_another_network_is_refused(tmp_path: Path) -> None:
    model().store(tmp_path / "model")
    assert GlobalModel.load(tmp_path / "model").optimizer.weights.size == 4
    with pytest.raises(CorruptState):
        GlobalModel.load(tmp_path / "model", UpdateLayout((*LAYOUT.tensors, ("c", (1,))), 0))


def test_a_model_without_ranges_is_refused(tmp_path: Path) -> None:
    metadata = {"round": "1", "chain": "ab" * 32, "steps": "1", "outcome": "closed"}
    (tmp_path / "model").write_bytes(save(SOUND, metadata))
    assert GlobalModel.load(tmp_path / "model", LAYOUT).ranges == RANGES
    (tmp_path / "model").write_bytes(save({name: SOUND[name] for name in SOUND if name != "ranges"}, metadata))
    with pytest.raises(CorruptState):
        GlobalModel.load(tmp_path / "model", LAYOUT)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(pickle.dumps({"weights": [1.0]}))
    with pytest.raises(CorruptState):
        GlobalModel.load(tmp_path / "model", LAYOUT)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptState):
        GlobalModel.load(tmp_path / "model", LAYOUT)


def test_a_full_disk_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model(1.0).store(tmp_path / "model")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        model(2.0, 4).store(tmp_path / "model")
    assert GlobalModel.load(tmp_path / "model", LAYOUT).round_number == 3
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_digest_of_the_initial_model_is_of_its_float32_values() -> None:
    weights = np.array([0.1, 0.2])
    assert digest(weights) == digest(weights.astype(np.float32).astype(np.float64))
    assert digest(weights) != digest(weights + 1e-3)
    assert len(digest(weights)) == 32

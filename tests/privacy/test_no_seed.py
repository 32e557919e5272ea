"""Nothing fixes the noise: no argument, no global seed, no environment, in the trainer that production builds."""

import inspect
import random
from collections.abc import Callable

import monai
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from privacy.dp.gradients import model_vector
from privacy.dp.patients import PatientData
from privacy.dp.training import PatientTrainer, SecureDPOptimizer
from privacy.randomness import SecureStream
from privacy.study import Privacy, Training

NOISY = Privacy(
    mechanism="dp_sgd", epsilon=8.0, delta=1e-4, clip=1.0, sampling_rate=0.5, lot_size=1, noise_multiplier=1.0
)


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], targets)


def everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


SEEDS: dict[str, Callable[[int], object]] = {
    "torch": torch.manual_seed,
    "numpy": np.random.seed,
    "random": random.seed,
    "monai": lambda seed: monai.utils.set_determinism(seed),
    "all": everything,
}


def noise() -> np.ndarray:
    """One round of a silo without patients: its update is noise alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    data = PatientData((), torch.empty(0))
    plan = Training(rounds=1, local_steps=1, learning_rate=1.0)
    trainer = PatientTrainer(model, loss, data, NOISY, plan, SecureStream())
    return trainer.train_round(model_vector(model), 1).consume()


@pytest.mark.parametrize("name", SEEDS)
def test_no_global_seed_repeats_the_noise(name: str) -> None:
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()
    deterministic = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    found = []
    try:
        for _ in range(2):
            SEEDS[name](7)
            found.append(noise())
    finally:
        monai.utils.set_determinism(None)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        torch.set_rng_state(kept[2])
    assert not np.isclose(found[0], found[1], rtol=1e-6, atol=0).any()
    assert abs(np.corrcoef(found[0], found[1])[0, 1]) < 0.7


def test_there_is_no_argument_for_a_seed() -> None:
    assert list(inspect.signature(SecureStream).parameters) == []
    assert not {name for name in vars(SecureStream()) if not name.startswith("_")}
    for kind in (PatientTrainer, SecureDPOptimizer):
        assert not {"seed", "generator", "rng", "key"} & set(inspect.signature(kind).parameters)
    with pytest.raises(TypeError):
        SecureStream(0)  # type: ignore[call-arg]
    assert not {"seed", "secure", "noise_seed"} & set(Privacy.model_fields)
    assert "seed" not in Training.model_fields


def test_the_largest_normal_is_the_one_that_the_page_on_numerics_states(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = SecureStream()
    draws = iter([np.array([1 - 2.0**-53]), np.array([0.0])] * 4)
    monkeypatch.setattr(stream, "uniforms", lambda count: next(draws))
    assert stream.normals(1)[0] == pytest.approx(17.14, abs=0.01)

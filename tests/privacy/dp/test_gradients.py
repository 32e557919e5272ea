"""Gradients one patient after the other, and lots that are read a chunk at a time."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from privacy.dp import gradients as module
from privacy.dp.gradients import Example, PatientGradients, model_vector
from privacy.dp.patients import PatientData
from privacy.dp.training import PatientTrainer, SecureDPOptimizer, private_step
from privacy.randomness import SecureStream
from privacy.study import Privacy, Training

SHAPE = (1, 6, 6, 6)


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Conv3d(1, 3, 3, padding=1), nn.GroupNorm(1, 3), nn.ReLU(), nn.Conv3d(3, 2, 1))


def loss(output: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(output, targets.long())


def patients(number: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(number, *SHAPE, generator=generator), torch.randint(
        0, 2, (number, *SHAPE[1:]), generator=generator, dtype=torch.uint8
    )


def test_alone_and_together_are_the_same_gradients() -> None:
    images, targets = patients(3)
    made = PatientGradients(network().double(), loss)
    weights = tuple(parameter.detach() for parameter in made._parameters)
    pairs = zip(
        made.alone(weights, images.double(), targets), made.together(weights, images.double(), targets), strict=True
    )
    for alone, together in pairs:
        torch.testing.assert_close(alone, together, rtol=1e-9, atol=1e-12)


def test_which_way_follows_public_sizes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    images, targets = patients(3)
    made = PatientGradients(network(), loss)
    called: list[str] = []
    for way in ("alone", "together"):
        whole = getattr(PatientGradients, way)
        monkeypatch.setattr(
            PatientGradients, way, lambda self, *a, _way=way, _whole=whole: (called.append(_way), _whole(self, *a))[1]
        )
    made(images, targets)
    monkeypatch.setattr(module, "CHUNK_VOXELS", 300)
    made(images, targets)
    made(images[:1], targets[:1])
    assert called == ["together", "alone", "alone"]


@pytest.mark.parametrize("voxels", [1, 500, 2**19])
def test_the_way_does_not_change_a_round(monkeypatch: pytest.MonkeyPatch, voxels: int) -> None:
    images, targets = patients(5)
    data = PatientData(tuple(image[None] for image in images), targets)
    plain = Privacy(mechanism="none", clip=0.05, sampling_rate=1.0, lot_size=5)

    def update() -> np.ndarray:
        trainer = PatientTrainer(
            network(), loss, data, plain, Training(rounds=1, local_steps=2, learning_rate=1.0), SecureStream()
        )
        return trainer.train_round(model_vector(network()), 1).consume()

    expected = update()
    monkeypatch.setattr(module, "CHUNK_VOXELS", voxels)
    np.testing.assert_allclose(update(), expected, atol=1e-6)


def test_a_lot_is_read_a_chunk_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_VOXELS", 2 * 6**3)
    images, targets = patients(5)
    model = network()
    made = PatientGradients(model, loss)
    read: list[int] = []
    held: list[int] = []

    def lot() -> Iterator[Example]:
        for number, example in enumerate(zip(images, targets, strict=True)):
            read.append(number)
            yield example

    accumulate = SecureDPOptimizer.accumulate
    monkeypatch.setattr(
        SecureDPOptimizer, "accumulate", lambda self, g: (held.append(len(read)), accumulate(self, g))[1]
    )
    optimizer = SecureDPOptimizer(
        list(model.parameters()), learning_rate=1.0, clip=1.0, noise_multiplier=0.0, lot_size=5, stream=SecureStream()
    )
    private_step(optimizer, made, lot())
    assert held == [2, 4, 5]


def test_a_network_that_draws_random_numbers_fails_alone_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Random(nn.Conv3d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(nn.functional.dropout(x, 0.5))

    monkeypatch.setattr(module, "CHUNK_VOXELS", 1)
    with pytest.raises(RuntimeError, match="seeded generator"):
        PatientGradients(Random(1, 2, 1), loss)(*patients(2))


@pytest.mark.parametrize("voxels", [1, 2**19])
def test_a_volume_that_is_not_finite_is_zero_and_the_others_stay(monkeypatch: pytest.MonkeyPatch, voxels: int) -> None:
    monkeypatch.setattr(module, "CHUNK_VOXELS", voxels)
    images, targets = patients(3)
    images[1, 0, 2, 2, 2] = float("nan")
    for part in PatientGradients(network(), loss)(images, targets):
        assert part.isfinite().all()
        assert (part[1] == 0).all()
    assert any((part[0] != 0).any() for part in PatientGradients(network(), loss)(images, targets))


def test_frozen_parameters_are_neither_trained_nor_counted() -> None:
    model = network()
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    kept = model[0].weight.clone()
    images, targets = patients(3)
    plain = Privacy(mechanism="none", clip=1.0, sampling_rate=1.0, lot_size=1)
    data = PatientData(tuple(image[None] for image in images), targets)
    trainer = PatientTrainer(
        model, loss, data, plain, Training(rounds=1, local_steps=1, learning_rate=1.0), SecureStream()
    )
    update = trainer.train_round(model_vector(model), 1).consume()
    assert update.size == sum(parameter.numel() for parameter in model[1:].parameters())
    assert (update != 0).any()
    assert torch.equal(model[0].weight, kept)


def test_momentum_follows_what_was_released() -> None:
    images, targets = patients(4)
    data = PatientData(tuple(image[None] for image in images), targets)
    plain = Privacy(mechanism="none", clip=0.05, sampling_rate=1.0, lot_size=4)
    start = model_vector(network())

    def after(steps: int, momentum: float) -> np.ndarray:
        plan = Training(rounds=1, local_steps=steps, learning_rate=0.01, momentum=momentum)
        return PatientTrainer(network(), loss, data, plain, plan, SecureStream()).train_round(start, 1).consume()

    first, second = after(1, 0.5), after(2, 0.5)
    # At so small a rate the second step has nearly the first's gradient, and half the first step on top.
    np.testing.assert_allclose(second, 2.5 * first, atol=0.05 * np.abs(first).max())

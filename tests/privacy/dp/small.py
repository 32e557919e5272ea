"""A small network, small cohorts, and studies' terms for them."""

import copy
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from privacy.dp.gradients import Example, model_vector
from privacy.dp.patients import PatientData
from privacy.dp.training import PatientTrainer
from privacy.randomness import SecureStream
from privacy.study import Privacy, Training

SHAPE = (1, 8, 8)


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], targets)


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.GroupNorm(2, 4),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(36, 1),
        )


def stacked(lot: Iterable[Example]) -> tuple[Tensor, Tensor]:
    images, targets = [torch.empty(0)], [torch.empty(0)]
    for image, target in lot:
        images.append(image[None])
        targets.append(target[None])
    return torch.cat(images[1:] or images), torch.cat(targets)


def cohort(patients: int, seed: int = 0) -> PatientData:
    generator = torch.Generator().manual_seed(seed)
    images = tuple(torch.randn(1 + i % 3, *SHAPE, generator=generator) for i in range(patients))
    return PatientData(images, torch.arange(patients) % 2 * 1.0)


def dp_sgd(rate: float = 1.0, noise: float | None = 1.0, clip: float = 0.5, lot: int = 8) -> Privacy:
    return Privacy(
        mechanism="dp_sgd",
        epsilon=8.0,
        delta=1e-4,
        clip=clip,
        sampling_rate=rate,
        lot_size=lot,
        noise_multiplier=noise,
    )


def no_dp(rate: float = 1.0, clip: float = 0.5, lot: int = 8) -> Privacy:
    return Privacy(mechanism="none", clip=clip, sampling_rate=rate, lot_size=lot)


def trainer(
    data: PatientData, privacy: Privacy, steps: int = 1, rate: float = 1.0, model: nn.Module | None = None
) -> PatientTrainer:
    plan = Training(rounds=1, local_steps=steps, learning_rate=rate)
    return PatientTrainer(model or network(), loss, data, privacy, plan, SecureStream())


def update(data: PatientData, privacy: Privacy, steps: int = 1, rate: float = 1.0) -> np.ndarray:
    return trainer(data, privacy, steps, rate).train_round(model_vector(network()), 1).consume()


def one_image_each(data: PatientData) -> PatientData:
    return PatientData(tuple(images[:1] for images in data.images), data.targets)


def clipped_mean(model: nn.Module, data: PatientData, clip: float, lot: int) -> np.ndarray:
    """The truth, patient by patient with plain autograd in float64."""
    model = copy.deepcopy(model).double()
    total = np.zeros(model_vector(model).size)
    for images, target in zip(data.images, data.targets.double(), strict=True):
        gradient = torch.autograd.grad(loss(model(images[:1].double()), target[None]), list(model.parameters()))
        flat = torch.cat([part.flatten() for part in gradient]).numpy()
        total += flat * min(1.0, clip / np.linalg.norm(flat))
    return total / lot

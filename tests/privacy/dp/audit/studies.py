"""Numbers and a small network of a study for audits."""

import torch
from torch import Tensor, nn

from privacy.study import Privacy, Training

SHAPE = (1, 16, 16)


def privacy(rate: float = 0.25, noise: float = 1.5) -> Privacy:
    return Privacy(
        mechanism="dp_sgd",
        epsilon=8.0,
        delta=1e-4,
        clip=0.7,
        sampling_rate=rate,
        lot_size=90,
        noise_multiplier=noise,
    )


def training(rounds: int = 30, local_steps: int = 1) -> Training:
    return Training(rounds=rounds, local_steps=local_steps, learning_rate=0.5)


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], targets)


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(1, 12, 5, stride=2, padding=2), nn.GroupNorm(2, 12), nn.GELU(), nn.Flatten(), nn.Linear(768, 1)
        )

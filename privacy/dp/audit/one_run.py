"""The one-run audit: thousands of canary patients at once, each with a gradient of its own direction.

Steinke, Nasr, Jagielski, NeurIPS 2023 (arXiv 2305.08846). A canary is a patient whose images all have one lit
pixel, and the network is one linear layer without a bias, so that the gradient of canary i is the i-th axis, far
longer than the clip. Sampling, choice of image, clipping, sum, noise, divisor and update are the trainer's own. An
absent canary's place is taken by a patient with a black image, whose gradient is zero: whoever looks for the number
of patients alone finds nothing.

The attacker sees every update. It also repeats the first run on nobody after setting every global seed to the
same value: noise that a seed reaches cancels, and the attacker then guesses from the difference. It decides this
from the updates alone, as the bound allows. A seed that only an insider knows is not found.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from privacy.dp.audit import finding, guessing
from privacy.dp.audit.finding import Finding, Plan
from privacy.dp.audit.guessing import Floats
from privacy.dp.gradients import Loss, model_vector
from privacy.dp.patients import PatientData
from privacy.dp.training import PatientTrainer
from privacy.randomness import SecureStream
from privacy.study import Privacy, Training

Mechanism: TypeAlias = Callable[[nn.Module, Loss, PatientData, Privacy, Training, SecureStream], PatientTrainer]
"""What is audited: `PatientTrainer`, or in tests one that was broken on purpose."""

SIDE: Final = 64
"""Canary images are so many pixels wide and high; a run has one canary a pixel."""

RUN: Final = SIDE * SIDE
"""Canaries of one run."""

CANARIES_PER_GUESS: Final = 64
"""One coin of so many is guessed; measured best of 8 to 256 for 65,536 canaries."""

BRIGHTNESS: Final = 64.0
"""A canary's gradient before clipping, in clips."""

IMAGES: Final = 4
"""Images of each canary: a mechanism that clips images instead of patients lets four times too much through."""


def audit(
    what: str,
    plan: Plan,
    *,
    runs: int,
    mechanism: Mechanism = PatientTrainer,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Finding:
    """Run the audit.

    Args:
        what: name for the finding.
        plan: the mechanism.
        runs: independent runs of `RUN` canaries each; they count as one.
        mechanism: the trainer.
        progress: told the runs done and in all.
    """
    present = guessing.coins(runs * RUN)
    ratios: list[Floats] = []
    seeded = False
    for run, coins in enumerate(np.split(present, runs)):
        with _global_seeds():
            seen = _updates(plan, coins, mechanism)
        if run == 0 or seeded:
            with _global_seeds():
                nobody = _updates(plan, np.zeros_like(coins), mechanism)
            seeded = bool(np.linalg.norm(seen - nobody) < np.linalg.norm(seen) / 2)
            seen = seen - nobody if seeded else seen
        ratios.append(_evidence(plan, seen))
        progress(run + 1, runs)
    return finding.found(what, plan, np.concatenate(ratios), present, guesses=present.size // CANARIES_PER_GUESS)


def _updates(plan: Plan, present: NDArray[np.bool_], mechanism: Mechanism) -> Floats:
    """What leaves in each round, (rounds, RUN), as the sum of the clipped gradients in clips."""
    layer = nn.Linear(RUN, 1, bias=False)
    nn.init.zeros_(layer.weight)
    network = nn.Sequential(nn.Flatten(), layer)
    privacy = plan.privacy
    trainer = mechanism(network, _brightness, _patients(present, privacy.clip), privacy, plan.training, SecureStream())
    weights = model_vector(network)
    seen = np.empty((plan.training.rounds, RUN))
    for number in range(1, plan.training.rounds + 1):
        update = trainer.train_round(weights, number).consume()
        weights = weights + update
        seen[number - 1] = update * (-privacy.lot_size / (plan.training.learning_rate * privacy.clip))
    return seen


def _evidence(plan: Plan, seen: Floats) -> Floats:
    privacy = plan.privacy
    noise = privacy.noise_multiplier or 0.0
    ratios = guessing.evidence(seen, 1.0, rate=privacy.sampling_rate, noise=noise, steps=plan.training.local_steps)
    total: Floats = ratios.sum(0)
    return total


def _brightness(logits: Tensor, targets: Tensor) -> Tensor:
    """A loss whose gradient is the image itself, whatever the weights."""
    return logits[:, 0].mean() + 0.0 * targets.mean()


def _patients(present: NDArray[np.bool_], clip: float) -> PatientData:
    # Every image is a window onto one long strip with one lit pixel: thousands of patients cost no memory.
    strip = torch.zeros(2 * RUN - 1)
    strip[RUN - 1] = BRIGHTNESS * clip
    dark = torch.zeros(1, 1, SIDE, SIDE).expand(IMAGES, -1, -1, -1)
    lit = (strip[RUN - 1 - i : 2 * RUN - 1 - i].view(1, 1, SIDE, SIDE).expand(IMAGES, -1, -1, -1) for i in range(RUN))
    images = tuple(image if coin else dark for image, coin in zip(lit, present, strict=True))
    return PatientData(images, torch.zeros(RUN))


@contextmanager
def _global_seeds() -> Iterator[None]:
    """Set every global seed to one known value, and put the generators back afterwards."""
    before = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    try:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.random.set_rng_state(before[2])

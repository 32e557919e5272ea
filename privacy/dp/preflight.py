"""Four checks of a study's network and loss on this machine, before any patient is read.

They run the trainer's own gradients, optimizer, step and round on made data and refuse a study that
would break what the accountant relies on: (1) a walk of the modules, (2) one patient's outputs, loss
and gradient are the same alone as among others, (3) leaving one patient out moves the noiseless sum
by at most C, for several C, and a whole round by what that patient alone adds to it, so that rate and
divisor are the public ones; two rounds under equal global seeds have noise of their own, (4) a patient
with NaN, infinite or huge pixels leaves a finite step within that bound. They prove nothing about
values they did not try; they catch, for instance, BatchNorm, a loss that normalises over the batch
(57-fold C in one Opacus mode), a network or loss that remembers earlier patients, a divisor counted
from the cohort.
"""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from privacy.dp.gradients import Loss, PatientGradients, model_vector
from privacy.dp.patients import PatientData
from privacy.dp.training import PatientTrainer, SecureDPOptimizer, check_network, private_step
from privacy.errors import PreflightFailed
from privacy.randomness import SecureStream
from privacy.study import Privacy, Training

PATIENTS: Final = 3
CLIP_FACTORS: Final = (0.1, 1.0, 10.0)
"""Sensitivity is tried at these multiples of the study's clip."""

SENSITIVITY_TOLERANCE: Final = 1e-3
ROUND_TOLERANCE: Final = 2e-2
"""Of C, between what a patient adds to rounds with and without others: the rounding of float32 through a deep network
(measured: up to 8e-3). A divisor or rate that counts patients moves 1e-1 and more."""

INDEPENDENCE_TOLERANCE: Final = 1e-6
"""Relative difference allowed between alone and among others, in float64 (measured: 1e-15)."""

POISONS: Final = (float("nan"), float("inf"), float("-inf"), 1e30, 1e38)


@dataclass(frozen=True)
class PreflightReport:
    """What the checks measured, on made data only: it may be shown and stored.

    Attributes:
        parameters: trainable values.
        independence: largest relative difference between a patient's gradient alone and among others.
        sensitivity: largest move of the noiseless sum by one patient, over C; at most 1.001.
        seconds: wall time.
    """

    parameters: int
    independence: float
    sensitivity: float
    seconds: float


BINARY: Final = (torch.tensor(0.0), torch.tensor(1.0))


def preflight(
    model: nn.Module,
    loss: Loss,
    sample_shape: tuple[int, ...],
    clip: float,
    examples: Sequence[Tensor] = BINARY,
) -> PreflightReport:
    """Run all checks; the model is copied and not touched.

    Args:
        model: the study's network with its initial weights.
        loss: of one patient.
        sample_shape: (C, *spatial) of one image after the study's transforms.
        clip: C of the study.
        examples: targets of made-up patients, at least one, of one shape; they are used in turn.

    Raises:
        PreflightFailed: with a code for what failed: `preflight.batch_norm`, `.buffers`, `.randomness`,
            `.parameters`, `.registered_twice`, `.unrunnable`, `.batch_coupled`, `.loss_coupled`,
            `.gradient`, `.sensitivity`, `.public_numbers`, `.seeded_noise` or `.not_finite`.
    """
    started = time.monotonic()
    check_network(model)
    model = copy.deepcopy(model).train()
    generator = torch.Generator().manual_seed(0)  # made data, the same at every silo; no secret
    images = torch.randn(PATIENTS, *sample_shape, generator=generator)
    targets = torch.stack([examples[i % len(examples)] for i in range(PATIENTS)])
    try:
        exact = targets.double() if targets.is_floating_point() else targets
        independence = _check_independence(copy.deepcopy(model).double(), loss, images.double(), exact)
        sensitivity = _check_sensitivity(model, loss, images, targets, clip)
        _check_rounds(model, loss, images, targets, clip)
        _check_poison(model, loss, images, targets, clip)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise PreflightFailed(
            "the network or loss cannot be run patient by patient (in-place, random or unmappable operations); "
            "choose another model",
            code="preflight.unrunnable",
        ) from error
    return PreflightReport(model_vector(model).size, independence, sensitivity, time.monotonic() - started)


def _check_independence(model: nn.Module, loss: Loss, images: Tensor, targets: Tensor) -> float:
    """Outputs, loss and gradient of each patient, alone against among others; float64."""
    with torch.no_grad():
        logits = model(images)
        singles = torch.cat([model(image[None]) for image in images])
        if _difference(logits, singles) > INDEPENDENCE_TOLERANCE:
            raise PreflightFailed(
                "the network's output for a patient depends on the other patients of a batch; use layers without "
                "batch statistics",
                code="preflight.batch_coupled",
            )
        mean = torch.stack([loss(singles[i : i + 1], targets[i : i + 1]) for i in range(PATIENTS)]).mean()
        if _difference(loss(singles, targets), mean) > INDEPENDENCE_TOLERANCE:
            raise PreflightFailed(
                "the loss of several patients is not the mean of their own losses; use a loss without batch terms",
                code="preflight.loss_coupled",
            )
    gradients = PatientGradients(model, loss)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    together = gradients(images, targets)
    again = gradients(images.flip(0), targets.flip(0))
    worst = 0.0
    for i in range(PATIENTS):
        value = loss(model(images[i : i + 1]), targets[i : i + 1])
        truth = _flat(torch.autograd.grad(value, parameters, materialize_grads=True, allow_unused=True))
        for others in (_flat([g[i] for g in together]), _flat([g[PATIENTS - 1 - i] for g in again])):
            worst = max(worst, _difference(others, truth))
    if not worst <= INDEPENDENCE_TOLERANCE:
        raise PreflightFailed(
            "a patient's gradient among others is not that patient's gradient alone; choose another model or loss",
            code="preflight.gradient",
        )
    return worst


def _check_sensitivity(model: nn.Module, loss: Loss, images: Tensor, targets: Tensor, clip: float) -> float:
    """The largest move by leaving one patient out, over C."""
    worst = 0.0
    for bound in (factor * clip for factor in CLIP_FACTORS):
        full = _noiseless_sum(model, loss, images, targets, bound)
        for i in range(PATIENTS):
            rest = torch.arange(PATIENTS) != i
            moved = full - _noiseless_sum(model, loss, images[rest], targets[rest], bound)
            worst = max(worst, float(np.linalg.norm(moved)) / bound)
    if not worst <= 1 + SENSITIVITY_TOLERANCE:
        raise PreflightFailed(
            "one patient can move the sum of gradients by more than the clip; choose another model or loss",
            code="preflight.sensitivity",
        )
    return worst


def _check_rounds(model: nn.Module, loss: Loss, images: Tensor, targets: Tensor, clip: float) -> None:
    """Whole rounds: rate and divisor are the study's and not the cohort's, and no global seed decides the noise."""
    plain = Privacy(mechanism="none", clip=clip, sampling_rate=1.0, lot_size=1)
    rounding = 1e-8 * float(np.linalg.norm(model_vector(model)))  # weights are float32, 100 times as coarse here
    whole = _round(model, loss, images, targets, plain)
    for i in range(PATIENTS):
        rest = torch.arange(PATIENTS) != i
        moved = whole - _round(model, loss, images[rest], targets[rest], plain)
        alone = _round(model, loss, images[i : i + 1], targets[i : i + 1], plain)
        if not np.linalg.norm(moved - alone) <= ROUND_TOLERANCE * clip + rounding:
            raise PreflightFailed(
                "what a patient adds to a round depends on how many others there are; sampling rate and divisor must "
                "be the study's public numbers",
                code="preflight.public_numbers",
            )
    noisy = plain.model_copy(update={"mechanism": "dp_sgd", "noise_multiplier": 1.0})
    noises: list[NDArray[np.float64]] = []
    kept = np.random.get_state()
    try:
        for _ in range(2):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                np.random.seed(0)
                noises.append(_round(model, loss, images, targets, noisy) - whole)
    finally:
        np.random.set_state(kept)
    if not np.linalg.norm(noises[0] - noises[1]) > rounding:
        raise PreflightFailed(
            "two rounds under one global seed have the same noise, which then hides nothing; use the CSPRNG",
            code="preflight.seeded_noise",
        )


def _round(model: nn.Module, loss: Loss, images: Tensor, targets: Tensor, privacy: Privacy) -> NDArray[np.float64]:
    """The update of one step over its learning rate, (P,); the rate is large so that the rounding of weights is not."""
    plan = Training(rounds=1, local_steps=1, learning_rate=100.0)
    data = PatientData(tuple(image[None] for image in images), targets)
    trainer = PatientTrainer(copy.deepcopy(model), loss, data, privacy, plan, SecureStream())
    return trainer.train_round(model_vector(model), 1).consume() / plan.learning_rate


def _check_poison(model: nn.Module, loss: Loss, images: Tensor, targets: Tensor, clip: float) -> None:
    """A patient with unusable pixels counts as any other: finite, and at most C."""
    clean = _noiseless_sum(model, loss, images[:1], targets[:1], clip)
    for poison in POISONS:
        both = torch.stack([torch.full_like(images[0], poison), images[0]])
        moved = _noiseless_sum(model, loss, both, targets[[1, 0]], clip) - clean
        if not np.linalg.norm(moved) <= clip * (1 + SENSITIVITY_TOLERANCE):
            raise PreflightFailed(
                "one patient with NaN, infinite or huge pixels breaks the update; choose another model or loss",
                code="preflight.not_finite",
            )


def _noiseless_sum(model: nn.Module, loss: Loss, images: Tensor, targets: Tensor, clip: float) -> NDArray[np.float64]:
    """The sum that noise would be added to, (P,), read from the trainer's own step at learning rate 0."""
    released: list[Tensor] = []
    optimizer = SecureDPOptimizer(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        learning_rate=0.0,
        clip=clip,
        noise_multiplier=0.0,
        lot_size=1,
        stream=SecureStream(),
    )
    optimizer.attach_step_hook(lambda stepped: released.append(_flat([p.grad for p in stepped.params]).double()))
    private_step(optimizer, PatientGradients(model, loss), zip(images, targets, strict=True))
    total: NDArray[np.float64] = released[0].numpy()
    return total


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def _difference(value: Tensor, truth: Tensor) -> float:
    """Relative Euclidean difference; NaN counts as infinite."""
    ratio = float((value - truth).norm() / truth.norm().clamp_min(1e-12))
    return ratio if ratio == ratio else float("inf")

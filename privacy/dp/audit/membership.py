"""Membership inference on the study's own network and loss: was this patient in the training data?

The game of Yeom et al. (CSF 2018) with the attack of LiRA (Carlini et al., IEEE S&P 2022): a coin decides whether a
cohort is one patient or nobody, the trainer takes one noisy step from the study's public initial weights, and the
attacker, who knows the patient and sees the update, guesses the coin. Other patients would only add to the noise,
so this is the attacker that differential privacy speaks of. The patient is the worst that an image can be: several
copies of it, with the label that gives the longer gradient.

Every trial has its own patient, coin, trainer and noise: together they are one run of the one-run audit
(`privacy.dp.audit.bound`), and give a bound on epsilon.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from privacy.dp.audit import finding, guessing
from privacy.dp.audit.finding import Finding, Plan
from privacy.dp.audit.one_run import Mechanism
from privacy.dp.gradients import Loss, model_vector, set_vector
from privacy.dp.patients import PatientData
from privacy.dp.preflight import BINARY
from privacy.dp.training import PatientTrainer
from privacy.randomness import SecureStream

WHAT: Final = "membership inference"
COPIES: Final = 4
"""Images of the patient; what clips images instead of patients lets four times too much through."""

TRIALS_PER_GUESS: Final = 16
"""One coin of so many is guessed; fewer guesses than 64 cannot prove an epsilon of 2."""


def audit(
    plan: Plan,
    network: nn.Module,
    loss: Loss,
    images: Iterable[NDArray[np.float32]],
    trials: int,
    *,
    examples: Sequence[Tensor] = BINARY,
    mechanism: Mechanism = PatientTrainer,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Finding:
    """Play the game `trials` times.

    Args:
        plan: the mechanism; of one step (`finding.single_step`).
        network: the study's, with its initial weights; they are the same afterwards.
        loss: of one patient.
        images: made-up patients, one (C, *spatial) float32 each; at least as many as trials.
        trials: how many.
        examples: targets that a patient may have, of one shape.
        mechanism: the trainer.
        progress: told the trials done and in all.
    """
    network.train()
    start = model_vector(network)
    present = guessing.coins(trials)
    seen, sizes = np.empty(trials), np.empty(trials)
    for trial, (image, coin) in enumerate(zip(islice(images, trials), present, strict=True)):
        patient = torch.from_numpy(image)
        set_vector(network, start)
        target, direction = _worst_target(network, loss, patient, examples)
        sizes[trial] = min(1.0, float(np.linalg.norm(direction)) / plan.privacy.clip)
        update = _update(plan, network, loss, patient, target, mechanism, start, present=bool(coin))
        clips = -plan.privacy.lot_size / (plan.training.learning_rate * plan.privacy.clip)
        seen[trial] = clips * (update @ direction) / max(float(np.linalg.norm(direction)), 1e-30)
        progress(trial + 1, trials)
    set_vector(network, start)
    noise = plan.privacy.noise_multiplier or 0.0
    ratios = guessing.evidence(seen, sizes, rate=plan.privacy.sampling_rate, noise=noise, steps=1)
    return finding.found(WHAT, plan, ratios, present, guesses=trials // TRIALS_PER_GUESS)


def _update(
    plan: Plan,
    network: nn.Module,
    loss: Loss,
    patient: Tensor,
    target: Tensor,
    mechanism: Mechanism,
    start: NDArray[np.float64],
    *,
    present: bool,
) -> NDArray[np.float64]:
    copies = (patient[None].expand(COPIES, *patient.shape),)
    cohort = PatientData(copies, target) if present else PatientData((), target[:0])
    trainer = mechanism(network, loss, cohort, plan.privacy, plan.training, SecureStream())
    return trainer.train_round(start, 1).consume()


def _worst_target(
    network: nn.Module, loss: Loss, patient: Tensor, examples: Sequence[Tensor]
) -> tuple[Tensor, NDArray[np.float64]]:
    """The target, (1, ...), with the longest gradient, and that gradient; by plain autograd, not the audited code."""
    found = []
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for target in (example[None] for example in examples):
        gradient = torch.autograd.grad(loss(network(patient[None]), target), parameters)
        found.append((target, torch.cat([part.flatten() for part in gradient]).double().numpy()))
    return max(found, key=lambda pair: float(np.linalg.norm(pair[1])))

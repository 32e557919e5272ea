"""Gradient inversion: can the image of a patient be drawn again from the update that a silo makes of it?

The attack of Geiping et al. ("Inverting Gradients", NeurIPS 2020, arXiv 2003.14053): search for the image whose
gradient has the direction of the update, with a penalty on total variation. The attacker knows the network, its
weights, the label and the numbers of the study, and that the update is one step of this one patient: more than
any party of a study has. It sees the update before encryption, or what a test hands it in its place.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from privacy.dp.audit.finding import Inversion
from privacy.dp.gradients import Loss, model_vector, set_vector
from privacy.dp.patients import PatientData
from privacy.dp.training import PatientTrainer
from privacy.randomness import SecureStream
from privacy.study import Privacy, Training

STEPS: Final = 600
SMOOTHNESS: Final = 0.3
"""Weight of total variation, measured best of 0 to 0.4 on smooth images."""


SICK: Final = torch.tensor(1.0)


def attempt(
    network: nn.Module,
    loss: Loss,
    image: NDArray[np.float32],
    privacy: Privacy,
    training: Training,
    target: Tensor = SICK,
) -> Inversion:
    """Attack one step of a made-up patient, with the study's noise and without.

    Args:
        network: the study's, with its initial weights; they are the same afterwards.
        loss: of one patient.
        image: (C, *spatial) float32.
        privacy: of the study, with a noise multiplier.
        training: of the study.
        target: of the made-up patient.
    """
    bare = Privacy(mechanism="none", clip=privacy.clip, sampling_rate=1.0, lot_size=privacy.lot_size)
    noisy = privacy.model_copy(update={"sampling_rate": 1.0})  # the patient surely takes part
    found = [
        correlation(
            reconstruct(network, loss, one_step(network, loss, image, numbers, training, target), image.shape, target),
            image,
        )
        for numbers in (bare, noisy)
    ]
    return Inversion(found[0], found[1], privacy.noise_multiplier or 0.0)


def one_step(
    network: nn.Module,
    loss: Loss,
    image: NDArray[np.float32],
    privacy: Privacy,
    training: Training,
    target: Tensor = SICK,
) -> NDArray[np.float64]:
    """The update, (P,), of one step of a cohort that is one patient with this target."""
    start = model_vector(network)
    cohort = PatientData((torch.from_numpy(image)[None],), target[None])
    single = training.model_copy(update={"local_steps": 1})
    update = PatientTrainer(network, loss, cohort, privacy, single, SecureStream()).train_round(start, 1).consume()
    set_vector(network, start)
    return update


def reconstruct(
    network: nn.Module,
    loss: Loss,
    update: NDArray[np.float64],
    shape: tuple[int, ...],
    target: Tensor = SICK,
    steps: int = STEPS,
) -> NDArray[np.float32]:
    """The attacker's best image of `shape` for an update (P,) and its target; only the update's direction is used."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    wanted = torch.from_numpy(-update).float()
    guess = torch.zeros(1, *shape, requires_grad=True)
    guess.data += 0.1 * torch.from_numpy(SecureStream().normals(guess.numel())).float().view_as(guess)
    search = torch.optim.Adam([guess], lr=0.1)
    cooling = torch.optim.lr_scheduler.CosineAnnealingLR(search, steps)
    for _ in range(steps):
        gradient = torch.autograd.grad(loss(network(guess), target[None]), parameters, create_graph=True)
        alike = torch.nn.functional.cosine_similarity(_flat(gradient), wanted, dim=0)
        (guess.grad,) = torch.autograd.grad(1 - alike + SMOOTHNESS * _variation(guess), [guess])
        search.step()
        cooling.step()
    image: NDArray[np.float32] = guess.detach()[0].numpy()
    return image


def correlation(image: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Pearson's correlation of two images; 0 if one of them is constant."""
    if image.std() == 0 or truth.std() == 0:
        return 0.0
    return float(np.corrcoef(image.ravel(), truth.ravel())[0, 1])


def _variation(image: Tensor) -> Tensor:
    axes = range(2, image.ndim)
    return torch.stack([image.diff(dim=axis).abs().mean() for axis in axes]).sum()


def _flat(tensors: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])

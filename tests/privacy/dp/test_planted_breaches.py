"""Each breach that was found in the wild, planted: in Opacus' own modes where they have it, and found by the preflight.

BatchNorm without affine and a NaN patient without its guard are in `test_preflight`.
"""

import copy
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss
from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import Tensor, nn

from privacy.dp import preflight as module
from privacy.dp.gradients import Example, Loss, PatientGradients
from privacy.dp.patients import PatientData
from privacy.dp.preflight import preflight
from privacy.dp.training import PatientTrainer, SecureDPOptimizer
from privacy.errors import PreflightFailed
from privacy.randomness import SecureStream
from privacy.study import Privacy, Training

SHAPE = (1, 8, 8)


@pytest.fixture(autouse=True)
def _same_weights() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], targets)


def dice(logits: Tensor, targets: Tensor) -> Tensor:
    """One channel, each patient's own: sound where a loss sees one patient at a time."""
    return DiceLoss(sigmoid=True)(logits, mask(logits, targets))


def mask(logits: Tensor, targets: Tensor) -> Tensor:
    return targets.view(-1, 1, 1, 1).expand_as(logits)


def classifier() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 1))


def segmenter() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Conv2d(4, 1, 3))


class TwoNames(nn.Module):
    """A layer registered in two parents, as MONAI's DynUNet has 46."""

    def __init__(self) -> None:
        super().__init__()
        self.body = classifier()
        self.parts = nn.ModuleList(list(self.body))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.body(x)
        return found


def refused(model: nn.Module, loss: Loss, clip: float = 0.01) -> str:
    with pytest.raises(PreflightFailed) as caught:
        preflight(model, loss, SHAPE, clip)
    return caught.value.code


@pytest.mark.parametrize(("build", "loss"), [(classifier, cross_entropy), (segmenter, dice)])
def test_the_same_networks_and_losses_pass_where_nothing_is_planted(build: type[nn.Module], loss: Loss) -> None:
    assert preflight(build(), loss, SHAPE, 0.01).sensitivity <= 1.001


class KeepsModel(PatientGradients):
    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__(model, loss)
        self.model, self.loss = model, loss


def ghost_step(optimizer: SecureDPOptimizer, gradients: KeepsModel, lot: Iterable[Example]) -> None:
    """The sum as Opacus' ghost clipping makes it with MONAI's Dice: factors (B,) meet a loss (B, 1, 1, 1)."""
    images, targets = (torch.stack(parts) for parts in zip(*lot, strict=True))
    model = copy.deepcopy(gradients.model)
    wrapped = GradSampleModuleFastGradientClipping(model, max_grad_norm=optimizer.max_grad_norm, loss_reduction="sum")
    inner = DPOptimizerFastGradientClipping(
        torch.optim.SGD(model.parameters(), lr=0.0),
        noise_multiplier=0.0,
        max_grad_norm=optimizer.max_grad_norm,
        expected_batch_size=1,
        loss_reduction="sum",
    )
    criterion = DPLossFastGradientClipping(
        wrapped, inner, DiceLoss(sigmoid=True, reduction="sum"), loss_reduction="sum"
    )
    logits = wrapped(images)
    criterion(logits, mask(logits, targets)).backward()
    for parameter, found in zip(optimizer.params, model.parameters(), strict=True):
        parameter.summed_grad = found.grad.detach().clone()
    optimizer.release()


def test_dice_with_one_channel_in_ghost_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PatientGradients", KeepsModel)
    monkeypatch.setattr(module, "private_step", ghost_step)
    assert refused(segmenter(), dice) == "preflight.sensitivity"


class Hooked(KeepsModel):
    """Per-patient gradients by Opacus' hooks, which count a layer once for each of its names."""

    def __call__(self, images: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        wrapped = GradSampleModule(copy.deepcopy(self.model), loss_reduction="sum")
        (self.loss(wrapped(images), targets) * len(targets)).backward()
        return tuple(parameter.grad_sample for parameter in wrapped.parameters() if parameter.requires_grad)


def test_a_module_registered_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk names it. Without the walk, the gradients of Opacus' hooks show it: they are twice the truth."""
    assert refused(TwoNames(), cross_entropy) == "preflight.registered_twice"
    monkeypatch.setattr(module, "PatientGradients", Hooked)
    monkeypatch.setattr(module, "check_network", lambda model: None)
    assert refused(TwoNames(), cross_entropy) == "preflight.gradient"
    assert refused(classifier(), cross_entropy) == "preflight.not_finite"  # the last check: hooks have no guard


class DivisorFromLoader(PatientTrainer):
    """Divides by the patients there are, as a divisor from `len(data_loader)` does."""

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        data: PatientData,
        privacy: Privacy,
        training: Training,
        stream: SecureStream,
    ) -> None:
        lot = privacy.model_copy(update={"lot_size": len(data.images)})
        super().__init__(model, loss, data, lot, training, stream)


class RateFromLoader(PatientTrainer):
    """Samples at the rate that the length of the cohort suggests."""

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        data: PatientData,
        privacy: Privacy,
        training: Training,
        stream: SecureStream,
    ) -> None:
        rate = privacy.model_copy(update={"sampling_rate": 1 / (1 + len(data.images))})
        super().__init__(model, loss, data, rate, training, stream)


@pytest.mark.parametrize("planted", [DivisorFromLoader, RateFromLoader])
def test_a_rate_or_a_divisor_from_the_length_of_the_loader(
    monkeypatch: pytest.MonkeyPatch, planted: type[PatientTrainer]
) -> None:
    monkeypatch.setattr(module, "PatientTrainer", planted)
    assert refused(classifier(), cross_entropy) == "preflight.public_numbers"


@pytest.mark.parametrize("generator", ["torch", "numpy"])
def test_seeded_noise(monkeypatch: pytest.MonkeyPatch, generator: str) -> None:
    def normals(_: SecureStream, count: int) -> np.ndarray:
        return torch.randn(count).double().numpy() if generator == "torch" else np.random.standard_normal(count)

    monkeypatch.setattr(SecureStream, "normals", normals)
    assert refused(classifier(), cross_entropy) == "preflight.seeded_noise"


def test_noise_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SecureStream, "normals", lambda _, count: np.zeros(count))
    assert refused(classifier(), cross_entropy) == "preflight.seeded_noise"

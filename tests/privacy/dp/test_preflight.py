import math
from collections.abc import Callable

import pytest
import torch
from monai.losses import DiceLoss
from monai.networks.nets import AttentionUnet, DenseNet, UNet
from torch import Tensor, nn

from privacy.dp import preflight as module
from privacy.dp.gradients import PatientGradients, model_vector
from privacy.dp.preflight import preflight
from privacy.dp.training import SecureDPOptimizer
from privacy.errors import PreflightFailed

SHAPE = (1, 32, 32)


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], targets)


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2),
        nn.GroupNorm(2, 4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, stride=4),
        nn.Flatten(),
        nn.LazyLinear(1),
    )


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = small()
        model(torch.zeros(1, *SHAPE))
    return model


class Map(nn.Module):
    """Uses a MONAI segmentation network as a classifier, by the mean of its map."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).mean((1, 2, 3))[:, None]


def code_of(model: nn.Module, criterion: Callable[[Tensor, Tensor], Tensor] = loss, clip: float = 0.5) -> str:
    with pytest.raises(PreflightFailed) as caught:
        preflight(model, criterion, SHAPE, clip)
    return caught.value.code


@pytest.mark.parametrize(
    "build",
    [
        network,
        lambda: DenseNet(2, 1, 1, 4, 4, (1, 1), norm=("group", {"num_groups": 2})),
        lambda: Map(UNet(2, 1, 1, (4, 8), (2,))),
    ],
)
def test_a_sound_network_passes(build: Callable[[], nn.Module]) -> None:
    model = build()
    report = preflight(model, loss, SHAPE, 0.5)
    assert report.parameters == model_vector(model).size
    assert report.independence < 1e-9
    assert 0.99 < report.sensitivity <= 1.001
    assert report.seconds < 20


@pytest.mark.parametrize("clip", [1e-4, 0.1, 2.0, 1000.0])
def test_any_clip_passes_for_a_sound_network(clip: float) -> None:
    assert preflight(network(), loss, SHAPE, clip).sensitivity <= 1.001


def test_the_model_and_the_global_generator_are_left_alone() -> None:
    model = network().eval()
    before, state = model_vector(model), torch.get_rng_state()
    preflight(model, loss, SHAPE, 0.5)
    assert (model_vector(model) == before).all()
    assert not model.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("layer", "code"),
    [
        (nn.BatchNorm2d(1), "preflight.batch_norm"),
        (nn.BatchNorm2d(1, affine=False), "preflight.batch_norm"),
        (nn.InstanceNorm2d(1, track_running_stats=True), "preflight.buffers"),
        (nn.Dropout(0.5), "preflight.randomness"),
        (AttentionUnet(2, 1, 1, (4, 8), (2,)), "preflight.batch_norm"),
    ],
)
def test_layers_that_break_the_bound_are_refused(layer: nn.Module, code: str) -> None:
    assert code_of(nn.Sequential(layer, network())) == code


class BatchCentred(nn.Module):
    """A hand-made batch normalisation that no walk of modules can see."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0, keepdim=True) if len(x) > 1 else x


class Remembering(nn.Module):
    """Mixes in what it saw before, outside buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class Functional(nn.Module):
    """Dropout without a module."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5)


class Statistics(nn.Module):
    """Batch normalisation without a module."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(x, None, None, training=True)


@pytest.mark.parametrize(
    ("layer", "code"),
    [
        (BatchCentred(), "preflight.batch_coupled"),
        (Statistics(), "preflight.batch_coupled"),
        (Remembering(), "preflight.batch_coupled"),
        (Functional(), "preflight.batch_coupled"),
    ],
)
def test_networks_that_mix_patients_are_refused(layer: nn.Module, code: str) -> None:
    assert code_of(nn.Sequential(layer, network())) == code


def dice(logits: Tensor, targets: Tensor) -> Tensor:
    """MONAI's batch Dice over one-pixel maps: intersection and union are summed over the batch."""
    return DiceLoss(batch=True, sigmoid=True)(logits[:, :, None], targets[:, None, None])


class Counting:
    """A loss that weights by how many patients it has seen."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        self.calls += 1
        return loss(logits, targets) * (1 + (self.calls > 4) * 0.1 * self.calls)


@pytest.mark.parametrize(
    ("criterion", "code"),
    [
        (dice, "preflight.loss_coupled"),
        (lambda logits, targets: loss(logits, targets) / (targets.sum() + 1), "preflight.loss_coupled"),
        (Counting(), "preflight.gradient"),
        (lambda logits, targets: loss(logits, targets).expand(2), "preflight.unrunnable"),
        (lambda logits, targets: loss(logits, targets).item(), "preflight.unrunnable"),
    ],
)
def test_losses_that_mix_patients_are_refused(criterion: Callable[[Tensor, Tensor], Tensor], code: str) -> None:
    assert code_of(network(), criterion) == code


def test_a_batch_loss_is_harmless_in_the_trainers_own_gradients() -> None:
    """The trainer shows a loss one patient at a time, so even this one keeps the bound."""
    images, targets = torch.randn(3, *SHAPE), torch.tensor([0.0, 1.0, 1.0])
    model = network()
    assert module._check_sensitivity(model, dice, images, targets, 0.01) <= 1.001


# What follows breaks the trainer on purpose: each check must notice by itself.


class NaiveGradients(PatientGradients):
    """The batch's gradient handed to every patient, as a coupled loss gives it."""

    def __call__(self, images: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        mean = [gradient.mean(0) for gradient in super().__call__(images, targets)]
        return tuple(gradient.expand(len(targets), *gradient.shape) for gradient in mean)


class UnguardedGradients(PatientGradients):
    """Without the guard against gradients that are not finite."""

    def __call__(self, images: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        weights = tuple(parameter.detach() for parameter in self._parameters)
        gradients: tuple[Tensor, ...] = self._gradients(weights, images, targets)
        return gradients


class LooseClip(SecureDPOptimizer):
    """Clips to three times what the study says."""

    def clip_and_accumulate(self) -> None:
        self.max_grad_norm *= 3
        super().clip_and_accumulate()
        self.max_grad_norm /= 3


class NoClip(SecureDPOptimizer):
    """Adds gradients as they are."""

    def clip_and_accumulate(self) -> None:
        self.max_grad_norm, kept = math.inf, self.max_grad_norm
        super().clip_and_accumulate()
        self.max_grad_norm = kept


class BatchDependentClip(SecureDPOptimizer):
    """Scales by the size of the lot, as a divisor taken from the data does."""

    def clip_and_accumulate(self) -> None:
        super().clip_and_accumulate()
        for parameter in self.params:
            parameter.summed_grad *= max(1, len(parameter.grad_sample))


@pytest.mark.parametrize(
    ("name", "broken", "code"),
    [
        ("PatientGradients", NaiveGradients, "preflight.gradient"),
        ("PatientGradients", UnguardedGradients, "preflight.not_finite"),
        ("SecureDPOptimizer", LooseClip, "preflight.sensitivity"),
        ("SecureDPOptimizer", NoClip, "preflight.sensitivity"),
        ("SecureDPOptimizer", BatchDependentClip, "preflight.sensitivity"),
    ],
)
def test_a_broken_trainer_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str, broken: type, code: str) -> None:
    monkeypatch.setattr(module, name, broken)
    assert code_of(network(), clip=0.001) == code


def test_a_coupled_gradient_breaks_the_sensitivity_check_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PatientGradients", NaiveGradients)
    images, targets = torch.randn(3, *SHAPE), torch.tensor([0.0, 1.0, 1.0])
    with pytest.raises(PreflightFailed) as caught:
        module._check_sensitivity(network(), loss, images, targets, 10.0)
    assert caught.value.code == "preflight.sensitivity"

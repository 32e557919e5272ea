"""Patient-level DP-SGD: from a cohort's tensors and the global model to a `PrivateUpdate`.

The unit is the patient. A step samples every patient on its own with the study's public rate, takes
one uniformly random image of each, clips that patient's gradient over all parameters, adds Gaussian
noise and divides by the study's public lot size (Abadi et al., CCS 2016, arXiv 1607.00133; with the
patient as the microbatch). Opacus' `DPOptimizer` clips, sums and scales; the sampler, the gradients,
the randomness and the divisor are ours, because each of Opacus' own was measured to break the bound
without a word (a divisor taken from the data, noise under a global seed, losses that mix a batch).

Gradients are per patient by construction: `torch.func.vmap(grad)` over the whole network, so the
network and the loss see one patient whatever layers they have. Nothing but the update leaves: no
norm, loss, lot size or count of dropped gradients is returned. Duration is not hidden.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from privacy.dp.events import DpEvent, DpSgdEvent, UnprotectedEvent
from privacy.errors import ConfigError, DataError, PreflightFailed
from privacy.randomness import SecureStream
from privacy.study import Privacy, Training
from privacy.update import PrivateUpdate

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(logits (n, outputs), targets (n,)) -> the scalar mean over n patients; training calls it with n = 1."""

CHUNK: Final = 64
"""Most patients whose gradients are made at once; measured best of 1 to 180 for small networks on one core."""

CHUNK_VALUES: Final = 2**25
"""Most gradient values made at once (128 MiB): a larger network gets smaller chunks, measured to cost little."""

CHUNK_PIXELS: Final = 2**22
"""Most pixels at once, which bounds the memory of activations."""


@dataclass(frozen=True)
class PatientData:
    """The training patients of one cohort, as tensors.

    Attributes:
        images: for each patient its images, (k_i, C, H, W) float32 with k_i >= 1 and one (C, H, W).
        targets: (patients,) float32.

    Raises:
        DataError: shapes or types are not these. Values are not checked: a patient whose gradient is
            not finite contributes nothing.
    """

    images: tuple[Tensor, ...]
    targets: Tensor

    def __post_init__(self) -> None:
        shapes = {tuple(image.shape[1:]) for image in self.images}
        dtypes = {image.dtype for image in self.images} | {self.targets.dtype}
        if self.targets.shape != (len(self.images),) or dtypes != {torch.float32}:
            raise DataError("every patient needs images and one target, all float32", code="data.shape")
        if len(shapes) > 1 or any(image.ndim != 4 or len(image) == 0 for image in self.images):
            raise DataError("every patient needs at least one image, all of one size", code="data.shape")


class PatientGradients:
    """The gradient of each patient's own loss, alone, with respect to all trainable parameters."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        names, parameters = zip(*_trainable(model), strict=True)

        def patient_loss(weights: tuple[Tensor, ...], image: Tensor, target: Tensor) -> Tensor:
            logits = functional_call(model, dict(zip(names, weights, strict=True)), (image[None],))
            return loss(logits, target[None])

        self._parameters: tuple[nn.Parameter, ...] = parameters
        # A network that draws random numbers fails here: they would come from torch's seeded generator.
        self._gradients = vmap(grad(patient_loss), in_dims=(None, 0, 0), randomness="error")
        self._size: int = sum(parameter.numel() for parameter in parameters)

    def chunk(self, images: Tensor) -> int:
        """How many of these patients to hand over at once; depends on public sizes alone."""
        return max(1, min(CHUNK, CHUNK_VALUES // self._size, CHUNK_PIXELS // images[0].numel()))

    def __call__(self, images: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        """Images (n, C, H, W) and targets (n,), n >= 1, to one (n, *shape) tensor a parameter.

        A patient whose gradient is not finite anywhere gets zeros everywhere.
        """
        weights = tuple(parameter.detach() for parameter in self._parameters)
        gradients: tuple[Tensor, ...] = self._gradients(weights, images, targets)
        finite = torch.stack([gradient.flatten(1).isfinite().all(1) for gradient in gradients]).all(0)
        # `where`, not a product: zero times NaN is NaN.
        return tuple(torch.where(finite.view(-1, *[1] * (g.ndim - 1)), g, 0.0) for g in gradients)


class SecureDPOptimizer(DPOptimizer):  # type: ignore[misc]
    """Opacus' clipping, sum and scaling over plain SGD, with noise from a `SecureStream` alone.

    One noisy step is any number of `accumulate` and then one `release`. Opacus' own Poisson loader,
    grad-sample hooks and generators take no part.

    Args:
        parameters: the trainable parameters, in `named_parameters` order.
        learning_rate: of plain SGD.
        clip: bound C on each patient's gradient, Euclidean over all parameters.
        noise_multiplier: noise deviation over C; 0 adds none.
        lot_size: public divisor of the noisy sum.
        stream: where the noise comes from.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        *,
        learning_rate: float,
        clip: float,
        noise_multiplier: float,
        lot_size: int,
        stream: SecureStream,
    ) -> None:
        super().__init__(
            torch.optim.SGD(parameters, lr=learning_rate),
            noise_multiplier=noise_multiplier,
            max_grad_norm=clip,
            expected_batch_size=lot_size,
        )
        self._stream = stream

    def accumulate(self, gradients: Sequence[Tensor]) -> None:
        """Clip each patient's gradient, one (n, *shape) tensor a parameter, and add them to the sum."""
        self._set(gradients)
        self.signal_skip_step(True)
        self.step()
        self.zero_grad()

    def release(self) -> None:
        """Add noise to the sum, also to an empty one, divide it, and move the parameters."""
        self._set([parameter.new_zeros((0, *parameter.shape)) for parameter in self.params])
        self.signal_skip_step(False)
        self.step()
        self.zero_grad()

    def add_noise(self) -> None:
        """The noisy sum as `p.grad`: noise and sum meet in float64 and are rounded once, together."""
        deviation = self.noise_multiplier * self.max_grad_norm
        for parameter in self.params:
            total = parameter.summed_grad.double()
            if deviation > 0:
                noise = torch.from_numpy(self._stream.normals(total.numel())).view_as(total)
                total = total + deviation * noise
            parameter.grad = total.to(parameter.dtype)

    def _set(self, gradients: Sequence[Tensor]) -> None:
        for parameter, gradient in zip(self.params, gradients, strict=True):
            parameter.grad_sample = gradient


def private_step(optimizer: SecureDPOptimizer, gradients: PatientGradients, images: Tensor, targets: Tensor) -> None:
    """One step over a sampled lot, images (n, C, H, W) and targets (n,); n may be 0."""
    if len(targets):
        chunk = gradients.chunk(images)
        for part in zip(torch.split(images, chunk), torch.split(targets, chunk), strict=True):
            optimizer.accumulate(gradients(*part))
    optimizer.release()


class PatientTrainer:
    """Trains a silo's part of a round under the study's mechanism.

    Args:
        model: its weights are overwritten each round; set to training mode.
        loss: of one patient.
        data: the training patients.
        privacy: mechanism and public numbers of the study.
        training: local steps and learning rate of the study.
        stream: source of sampling and noise.

    Raises:
        PreflightFailed: the network is not fit for it (`check_network`).
        ConfigError: the study asks for noise but states none (`privacy.uncalibrated`).
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        data: PatientData,
        privacy: Privacy,
        training: Training,
        stream: SecureStream,
    ) -> None:
        check_network(model)
        if privacy.mechanism == "dp_sgd" and privacy.noise_multiplier is None:
            raise ConfigError("the study states no noise multiplier; have it signed again", code="privacy.uncalibrated")
        self._model = model
        self._gradients = PatientGradients(model, loss)
        self._data = data
        self._counts = np.array([len(images) for images in data.images], np.int64)
        self._privacy = privacy
        self._training = training
        self._stream = stream

    @property
    def event(self) -> DpEvent:
        """What one round of this training costs, known before it runs."""
        if self._privacy.noise_multiplier is None:
            return UnprotectedEvent(self._training.local_steps)
        return DpSgdEvent(self._privacy.sampling_rate, self._privacy.noise_multiplier, self._training.local_steps)

    def train_round(self, global_vector: NDArray[np.float64], round_number: int) -> PrivateUpdate:
        """Local steps from the global model (float64, shape (P,)); the update is local minus global.

        The difference is to the global model as float32 holds it, so no rounding of it leaves.

        Raises:
            ValueError: the vector does not fit the model or is not finite.
        """
        self._model.train()
        set_vector(self._model, global_vector)
        start = model_vector(self._model)
        optimizer = SecureDPOptimizer(
            [parameter for _, parameter in _trainable(self._model)],
            learning_rate=self._training.learning_rate,
            clip=self._privacy.clip,
            noise_multiplier=self._privacy.noise_multiplier or 0.0,
            lot_size=self._privacy.lot_size,
            stream=self._stream,
        )
        for _ in range(self._training.local_steps):
            private_step(optimizer, self._gradients, *self._lot())
        return PrivateUpdate(model_vector(self._model) - start, self.event, round_number)

    def _lot(self) -> tuple[Tensor, Tensor]:
        """A Poisson sample of patients, each with one random image: two draws a patient, always."""
        taken = self._stream.uniforms(self._counts.size) < self._privacy.sampling_rate
        drawn = self._stream.uniforms(self._counts.size)
        which = np.minimum((drawn * self._counts).astype(np.int64), self._counts - 1)
        lot = np.flatnonzero(taken)
        if not lot.size:
            return torch.empty(0), torch.empty(0)
        images = torch.stack([self._data.images[patient][which[patient]] for patient in lot])
        return images, self._data.targets[torch.from_numpy(lot)]


def check_network(model: nn.Module) -> None:
    """Walk the modules: only what is a function of one patient and of the sent weights may stand.

    Raises:
        PreflightFailed: batch statistics (`preflight.batch_norm`), running statistics or any other
            buffer (`preflight.buffers`), dropout (`preflight.randomness`), a parameter under two names,
            which hooks count twice and `functional_call` loses (`preflight.registered_twice`), nothing to
            train or not float32 (`preflight.parameters`).
    """
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise PreflightFailed(
                "the network has BatchNorm, which mixes patients; use GroupNorm", code="preflight.batch_norm"
            )
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            raise PreflightFailed(
                "the network has dropout, which draws from a seeded generator; set it to 0", code="preflight.randomness"
            )
        if getattr(module, "track_running_stats", False) or next(module.buffers(recurse=False), None) is not None:
            raise PreflightFailed(
                "the network keeps statistics or other buffers that no noise covers; use layers without them",
                code="preflight.buffers",
            )
    if len(list(model.named_parameters(remove_duplicate=False))) != len(list(model.parameters())):
        raise PreflightFailed(
            "the network has one parameter under two names; choose a model that registers each layer once",
            code="preflight.registered_twice",
        )
    if not _trainable(model) or {parameter.dtype for parameter in model.parameters()} != {torch.float32}:
        raise PreflightFailed(
            "the network needs trainable parameters, all float32; correct the model", code="preflight.parameters"
        )


def tensor_shapes(model: nn.Module) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Names and shapes of the trainable parameters, in the order of the vector."""
    return tuple((name, tuple(parameter.shape)) for name, parameter in _trainable(model))


def model_vector(model: nn.Module) -> NDArray[np.float64]:
    """The trainable parameters as one vector, float64, shape (P,)."""
    parts = [parameter.detach().double().flatten() for _, parameter in _trainable(model)]
    vector: NDArray[np.float64] = torch.cat(parts).numpy()
    return vector


def set_vector(model: nn.Module, vector: NDArray[np.float64]) -> None:
    """Write a vector (float64, shape (P,)) into the trainable parameters, rounded to their type.

    Raises:
        ValueError: it has another length or type, or a value that is not finite.
    """
    parameters = [parameter for _, parameter in _trainable(model)]
    sizes = [parameter.numel() for parameter in parameters]
    if vector.dtype != np.float64 or vector.shape != (sum(sizes),) or not np.isfinite(vector).all():
        raise ValueError("the vector must be finite float64 and as long as the model")
    with torch.no_grad():
        for parameter, part in zip(parameters, torch.split(torch.tensor(vector), sizes), strict=True):
            parameter.copy_(part.view_as(parameter))


def _trainable(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]

"""Patient-level DP-SGD: from a cohort's tensors and the global model to a `PrivateUpdate`.

The unit is the patient. A step samples every patient on its own with the study's public rate, takes
one uniformly random image of each, clips that patient's gradient over all parameters, adds Gaussian
noise and divides by the study's public lot size (Abadi et al., CCS 2016, arXiv 1607.00133; with the
patient as the microbatch). Opacus' `DPOptimizer` clips, sums and scales; the sampler, the gradients,
the randomness and the divisor are ours, because each of Opacus' own was measured to break the bound
without a word (a divisor taken from the data, noise under a global seed, losses that mix a batch).

Gradients are per patient by construction (`privacy.dp.gradients`). Nothing but the update leaves: no
norm, loss, lot size or count of dropped gradients is returned. Duration is not hidden.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn

from privacy.dp.events import DpEvent, DpSgdEvent, UnprotectedEvent
from privacy.dp.gradients import Example, Loss, PatientGradients, model_vector, set_vector, trainable
from privacy.dp.patients import Patients
from privacy.errors import ConfigError, PreflightFailed
from privacy.randomness import SecureStream
from privacy.study import Privacy, Training
from privacy.update import PrivateUpdate


class SecureDPOptimizer(DPOptimizer):  # type: ignore[misc]
    """Opacus' clipping, sum and scaling over SGD, with noise from a `SecureStream` alone.

    One noisy step is any number of `accumulate` and then one `release`. Opacus' own Poisson loader,
    grad-sample hooks and generators take no part.

    Args:
        parameters: the trainable parameters, in `named_parameters` order.
        learning_rate: of SGD.
        momentum: of SGD, on what was released: it costs no privacy.
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
        momentum: float = 0.0,
        clip: float,
        noise_multiplier: float,
        lot_size: int,
        stream: SecureStream,
    ) -> None:
        super().__init__(
            torch.optim.SGD(parameters, lr=learning_rate, momentum=momentum),
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


def private_step(optimizer: SecureDPOptimizer, gradients: PatientGradients, lot: Iterable[Example]) -> None:
    """One step over a sampled lot, which may be empty and is read a chunk at a time."""
    for images, targets in gradients.chunks(lot):
        optimizer.accumulate(gradients(images, targets))
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
        data: Patients,
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
        self._counts = data.counts
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
            [parameter for _, parameter in trainable(self._model)],
            learning_rate=self._training.learning_rate,
            momentum=self._training.momentum,
            clip=self._privacy.clip,
            noise_multiplier=self._privacy.noise_multiplier or 0.0,
            lot_size=self._privacy.lot_size,
            stream=self._stream,
        )
        for _ in range(self._training.local_steps):
            private_step(optimizer, self._gradients, self._lot())
        return PrivateUpdate(model_vector(self._model) - start, self.event, round_number)

    def _lot(self) -> Iterator[Example]:
        """A Poisson sample of patients, each with one random image: two draws a patient, always, before any is read."""
        taken = self._stream.uniforms(self._counts.size) < self._privacy.sampling_rate
        drawn = self._stream.uniforms(self._counts.size)
        which = np.minimum((drawn * self._counts).astype(np.int64), self._counts - 1)
        return (self._data.load(int(patient), int(which[patient])) for patient in np.flatnonzero(taken))


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
    if not trainable(model) or {parameter.dtype for parameter in model.parameters()} != {torch.float32}:
        raise PreflightFailed(
            "the network needs trainable parameters, all float32; correct the model", code="preflight.parameters"
        )

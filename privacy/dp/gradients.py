"""The gradient of each patient's own loss, and the trainable parameters as one vector.

Gradients are per patient by construction: the whole network runs for one patient, whatever layers it
has, either in `torch.func.vmap(grad)` over a chunk of patients or one after the other. Which of the
two, and how many at once, follows from public sizes alone: memory does not grow with the lot.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(output (n, ...), targets (n, ...)) -> the scalar mean over n patients; training calls it with n = 1."""

Example: TypeAlias = tuple[Tensor, Tensor]
"""One image (C, *spatial) and its target."""

CHUNK: Final = 64
"""Most patients whose gradients are made at once; measured best of 1 to 180 for small networks on one core."""

CHUNK_VALUES: Final = 2**25
"""Most gradient values made at once (128 MiB): a larger network gets smaller chunks, measured to cost little."""

CHUNK_PIXELS: Final = 2**22
"""Most pixels of images at once, which bounds the memory of activations."""

CHUNK_VOXELS: Final = 2**19
"""Most voxels of volumes at once, three of 48 x 64 x 48. Measured there: two together take 0.10 s each against 0.22 s
one after the other, more gain nothing."""


class PatientGradients:
    """The gradient of each patient's own loss, alone, with respect to all trainable parameters."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        names, parameters = zip(*trainable(model), strict=True)

        def patient_loss(weights: tuple[Tensor, ...], image: Tensor, target: Tensor) -> Tensor:
            output = functional_call(model, dict(zip(names, weights, strict=True)), (image[None],))
            return loss(output, target[None])

        self._parameters: tuple[nn.Parameter, ...] = parameters
        self._one = grad(patient_loss)
        # A network that draws random numbers fails here: they would come from torch's seeded generator.
        self._mapped = vmap(self._one, in_dims=(None, 0, 0), randomness="error")
        self._size: int = sum(parameter.numel() for parameter in parameters)

    def chunk(self, images: Tensor) -> int:
        """How many of these patients to hand over at once; depends on public sizes alone."""
        image = images[0]
        room = (CHUNK_VOXELS if image.ndim == 4 else CHUNK_PIXELS) // image.numel()
        return max(1, min(CHUNK, CHUNK_VALUES // self._size, room))

    def chunks(self, lot: Iterable[Example]) -> Iterator[tuple[Tensor, Tensor]]:
        """A lot as stacked chunks; holds one chunk at a time."""
        examples = iter(lot)
        for first in examples:
            size = self.chunk(first[0][None])
            images, targets = zip(*chain([first], islice(examples, size - 1)), strict=True)
            yield torch.stack(images), torch.stack(targets)

    def __call__(self, images: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        """Images (n, C, *spatial) and targets (n, ...), n >= 1, to one (n, *shape) tensor a parameter.

        A patient whose gradient is not finite anywhere gets zeros everywhere.

        Raises:
            RuntimeError: the network or loss draws random numbers, or cannot be mapped.
        """
        weights = tuple(parameter.detach() for parameter in self._parameters)
        gradients = self._gradients(weights, images, targets)
        finite = torch.stack([gradient.flatten(1).isfinite().all(1) for gradient in gradients]).all(0)
        # `where`, not a product: zero times NaN is NaN.
        return tuple(torch.where(finite.view(-1, *[1] * (g.ndim - 1)), g, 0.0) for g in gradients)

    def _gradients(self, weights: tuple[Tensor, ...], images: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        return (self.together if self.chunk(images) > 1 else self.alone)(weights, images, targets)

    def together(self, weights: tuple[Tensor, ...], images: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        """As a call, by one vmap and without its guard against what is not finite."""
        mapped: tuple[Tensor, ...] = self._mapped(weights, images, targets)
        return mapped

    def alone(self, weights: tuple[Tensor, ...], images: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        """As a call, one patient after the other and without its guard against what is not finite."""
        before = torch.random.get_rng_state()
        each = [self._one(weights, image, target) for image, target in zip(images, targets, strict=True)]
        if not torch.equal(torch.random.get_rng_state(), before):
            raise RuntimeError("the network draws from torch's seeded generator")
        return tuple(torch.stack(parts) for parts in zip(*each, strict=True))


def trainable(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters that are trained and sent, in the order of the vector; frozen ones are not among them."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def tensor_shapes(model: nn.Module) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Names and shapes of the trainable parameters, in the order of the vector."""
    return tuple((name, tuple(parameter.shape)) for name, parameter in trainable(model))


def model_vector(model: nn.Module) -> NDArray[np.float64]:
    """The trainable parameters as one vector, float64, shape (P,)."""
    parts = [parameter.detach().double().flatten() for _, parameter in trainable(model)]
    vector: NDArray[np.float64] = torch.cat(parts).numpy()
    return vector


def set_vector(model: nn.Module, vector: NDArray[np.float64]) -> None:
    """Write a vector (float64, shape (P,)) into the trainable parameters, rounded to their type.

    Raises:
        ValueError: it has another length or type, or a value that is not finite.
    """
    parameters = [parameter for _, parameter in trainable(model)]
    sizes = [parameter.numel() for parameter in parameters]
    if vector.dtype != np.float64 or vector.shape != (sum(sizes),) or not np.isfinite(vector).all():
        raise ValueError("the vector must be finite float64 and as long as the model")
    with torch.no_grad():
        for parameter, part in zip(parameters, torch.split(torch.tensor(vector), sizes), strict=True):
            parameter.copy_(part.view_as(parameter))

"""Training mechanisms that are broken on purpose, each as a defect of the real code."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray
from torch import Tensor

from privacy.dp.gradients import Example
from privacy.dp.training import PatientTrainer, SecureDPOptimizer
from privacy.randomness import SecureStream

Patch = pytest.MonkeyPatch


def halved_noise(patch: Patch) -> None:
    whole = SecureStream.normals
    patch.setattr(SecureStream, "normals", lambda self, count: whole(self, count) / 2)


def tripled_clip(patch: Patch) -> None:
    accumulate = SecureDPOptimizer.accumulate

    def generous(self: SecureDPOptimizer, gradients: Sequence[Tensor]) -> None:
        self.max_grad_norm *= 3
        accumulate(self, gradients)
        self.max_grad_norm /= 3

    patch.setattr(SecureDPOptimizer, "accumulate", generous)


def clipped_by_image(patch: Patch) -> None:
    def lot(self: PatientTrainer) -> Iterator[Example]:
        taken = self._stream.uniforms(self._counts.size) < self._privacy.sampling_rate
        return (
            self._data.load(int(patient), image)
            for patient in np.flatnonzero(taken)
            for image in range(self._counts[patient])
        )

    patch.setattr(PatientTrainer, "_lot", lot)


def known_key(patch: Patch) -> None:
    def seeded(self: SecureStream) -> None:
        self._stream = Cipher(algorithms.AES(b"k" * 32), modes.CTR(b"n" * 16)).encryptor()

    patch.setattr(SecureStream, "__init__", seeded)


def noise_of_torch(patch: Patch) -> None:
    def drawn(_: SecureStream, count: int) -> NDArray[np.float64]:
        noise: NDArray[np.float64] = torch.randn(count, dtype=torch.float64).numpy()
        return noise

    patch.setattr(SecureStream, "normals", drawn)


def everyone_sampled(patch: Patch) -> None:
    lot = PatientTrainer._lot

    def whole(self: PatientTrainer) -> Iterator[Example]:
        privacy = self._privacy
        self._privacy = privacy.model_copy(update={"sampling_rate": 1.0})
        try:
            return lot(self)
        finally:
            self._privacy = privacy

    patch.setattr(PatientTrainer, "_lot", whole)


GROSS: tuple[Callable[[Patch], None], ...] = (tripled_clip, clipped_by_image, known_key, noise_of_torch)
"""Defects that 16,384 canaries find."""

"""How the devices of the sandbox's hospitals see: what makes silos differ in their images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.sandbox.dicom import Device

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scanner:
    """A device: matrix size, contrast curve, passes of a three-pixel blur, noise (share of the full range)."""

    device: Device
    matrix: int
    gamma: float
    blur: int
    noise: float

    def expose(self, density: Floats, random: np.random.Generator) -> Floats:
        """Images as this device gives them.

        Args:
            density: (n, rows, columns) float32 in [0, 1], bright = dense.
            random: draws the noise.

        Returns:
            The same shape and range.
        """
        image: Floats = np.clip(density, 0, 1) ** np.float32(self.gamma)
        for axis in (1, 2):
            for _ in range(self.blur):
                image = (np.roll(image, 1, axis) + 2 * image + np.roll(image, -1, axis)) / np.float32(4)
        if self.noise:
            image = image + np.float32(self.noise) * random.standard_normal(image.shape, dtype=np.float32)
        return np.clip(image, 0, 1)


SCANNERS = (
    Scanner(Device("Hospital North", "Aurora Imaging", "Aurora 300"), matrix=128, gamma=1.0, blur=0, noise=0.03),
    Scanner(Device("Hospital Harbour", "Borealis", "BX 12", 14), matrix=112, gamma=0.75, blur=1, noise=0.02),
    Scanner(Device("Hospital Hill", "Cirrus Medical", "C1"), matrix=144, gamma=1.35, blur=0, noise=0.05),
    Scanner(Device("Hospital Lake", "Delta X", "Delta 5", 10), matrix=128, gamma=1.15, blur=2, noise=0.03),
)
"""Silo number i has scanner i modulo four."""

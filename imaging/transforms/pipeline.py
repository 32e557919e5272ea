"""From a stored image to the network's input: a fixed chain of deterministic MONAI transforms.

The chain must end in one size that is known from the study, so that all images of all silos agree. A
mask takes the same way through what moves voxels, with nearest neighbours, so that it stays on its image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError
from imaging.parameters import Parameter, Values, read
from imaging.transforms.allowed import ALLOWED, Transform

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Pipeline:
    """A chain of transforms: an array of two or three axes -> (1, *spatial) float32, C-contiguous.

    Attributes:
        shape: (1, *spatial) of every output.
    """

    shape: tuple[int, ...]
    _steps: tuple[tuple[Transform, Transform | None], ...]
    _affine: bool

    def __call__(self, image: NDArray[np.generic], affine: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
        """Transform one image; see `pair`."""
        return self.pair(image, affine, None)[0]

    def pair(
        self,
        image: NDArray[np.generic],
        affine: NDArray[np.float64] | None,
        mask: NDArray[np.uint8] | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """Transform one image and, if there is one, its mask.

        Args:
            image: (rows, columns) or (i, j, k), real.
            affine: (4, 4), voxel to RAS+ millimetres; needed by `orient` and `spacing`.
            mask: class numbers, of the image's shape.

        Returns:
            (1, *spatial) float32 and (*spatial) uint8.

        Raises:
            ImagingError: `transforms.image`: of another number of axes, empty or not finite;
                `transforms.affine`: it is needed and not there; `transforms.mask`: of another shape.
        """
        values = np.ascontiguousarray(image, dtype=np.float32)
        axes = len(self.shape) - 1
        if values.ndim != axes or 0 in values.shape or not np.isfinite(values).all():
            words = {2: "two-dimensional", 3: "three-dimensional"}[axes]
            raise ImagingError(
                f"a stored image is not a {words} array of finite numbers; ingest the cohort again", "transforms.image"
            )
        if self._affine and affine is None:
            raise ImagingError(
                "a stored volume does not say where its voxels lie, which the study's transforms need; ingest it from "
                "files that do",
                "transforms.affine",
            )
        if mask is not None and mask.shape != values.shape:
            raise ImagingError("a stored mask does not lie on its image; ingest the cohort again", "transforms.mask")
        moved, moved_mask = self._tensor(values, affine), None if mask is None else self._tensor(mask, affine)
        for step, mask_step in self._steps:
            moved = step(moved)
            if moved_mask is not None and mask_step is not None:
                moved_mask = mask_step(moved_mask)
        found = np.ascontiguousarray(np.asarray(moved), dtype=np.float32)
        if moved_mask is None:
            return found, None
        return found, np.ascontiguousarray(np.asarray(moved_mask)[0]).astype(np.uint8)

    def _tensor(self, values: NDArray[np.generic], affine: NDArray[np.float64] | None) -> "Tensor":
        """(1, *spatial); with its affine only where a step asks for it."""
        import torch

        # A copy where the array is read-only, as stored ones are: torch would share it, and a step might write to it.
        plain = torch.from_numpy(np.require(values, np.float32, ("C", "W")))[None]
        if not self._affine:
            return plain
        from monai.data import MetaTensor

        placed: Tensor = MetaTensor(plain, affine=torch.from_numpy(np.array(affine, np.float64)))
        return placed


def build(specs: Sequence[tuple[str, Mapping[str, Parameter]]], dimensions: int = 2) -> Pipeline:
    """The chain that a study describes by (name, parameters), applied in this order.

    Raises:
        ImagingError: `transforms.unknown` name, `parameters.*`, `transforms.dimensions`: not for images of so many
            axes, or `transforms.size`: no step settles the size.
    """
    checked = tuple(validate(specs, dimensions))
    import monai.transforms

    steps: list[tuple[Transform, Transform | None]] = []
    for name, parameters in checked:
        allowed = ALLOWED[name]
        image = allowed.image(monai.transforms, parameters)
        steps.append((image, None if allowed.mask is None else allowed.mask(monai.transforms, parameters)))
    return Pipeline(_shape(checked), tuple(steps), any(ALLOWED[name].affine for name, _ in checked))


def validate(specs: Sequence[tuple[str, Mapping[str, Parameter]]], dimensions: int = 2) -> Sequence[tuple[str, Values]]:
    """The checks of `build` without importing MONAI; defaults filled in.

    Raises:
        ImagingError: as `build`.
    """
    checked = []
    for name, given in specs:
        if name not in ALLOWED:
            raise ImagingError(
                f"transform '{name}' is not allowed; choose from {', '.join(sorted(ALLOWED))}", "transforms.unknown"
            )
        parameters = read(f"transform '{name}'", ALLOWED[name].parameters, given)
        for below, above in (("low", "high"), ("lower", "upper")):
            if below in parameters and not parameters.number(below) < parameters.number(above):
                raise ImagingError(f"transform '{name}': {below} must be less than {above}", "parameters.invalid")
        if "size" in parameters and len(parameters.integers("size")) != dimensions:
            raise ImagingError(
                f"transform '{name}': size must have one number for each of {dimensions} axes", "parameters.invalid"
            )
        if ALLOWED[name].affine and dimensions != 3:
            raise ImagingError(f"transform '{name}' is for volumes alone", "transforms.dimensions")
        checked.append((name, parameters))
    _shape(checked)
    return checked


def _shape(checked: Sequence[tuple[str, Values]]) -> tuple[int, ...]:
    size: tuple[int, ...] | None = None
    for name, parameters in checked:
        if ALLOWED[name].affine and size is not None:
            size = None  # resampling and turning change the size again
        if "size" not in parameters:
            continue
        given = tuple(parameters.integers("size"))
        if ALLOWED[name].sizes:
            size = given
        elif size is not None:
            size = tuple(min(pair) for pair in zip(given, size, strict=True))
    if size is None:
        raise ImagingError(
            "the transforms leave the image size open; end the study's with 'resize' or 'crop-or-pad'",
            "transforms.size",
        )
    return 1, *size

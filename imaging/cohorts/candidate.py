"""An image that may become part of a cohort: where a source and the intake meet."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from imaging.errors import ImagingError
from imaging.labels.mask import Grid, Mask
from imaging.labels.table import Image
from imaging.volumes.volume import SourceVolume

FLAT: Final = "mask.two_dimensional"


@dataclass(frozen=True)
class Candidate:
    """An image of a source, not decoded yet.

    Attributes:
        image: whose it is, as pseudonyms.
        paths: of its files below the source; they may name a patient, so not for printing.
        decode: reads it; raises ImagingError.
        draw: the mask of what was decoded; raises ImagingError. None where the source has none.
        report: the label that a structured report gives; raises ImagingError. None where the source has none.
    """

    image: Image
    paths: tuple[str, ...] = field(repr=False)
    decode: Callable[[], SourceVolume] = field(repr=False)
    draw: Callable[[SourceVolume], Mask] | None = field(repr=False)
    report: Callable[[], int | float] | None = field(default=None, repr=False)


def on_volume(read: Callable[[Grid], Mask]) -> Callable[[SourceVolume], Mask]:
    """What draws on a volume's grid, as `Candidate.draw`; it raises `mask.two_dimensional` for an image."""

    def draw(source: SourceVolume) -> Mask:
        volume = source.volume
        if volume.affine is None or volume.array.ndim != 3:
            raise ImagingError("such a mask is drawn on a volume; this image has no third dimension", FLAT)
        columns, rows, slices = volume.array.shape
        return read(Grid((columns, rows, slices), volume.affine, source.frame_of_reference))

    return draw


@dataclass(frozen=True)
class Refused:
    """Files that make no image; `image` is whose they are, None where that is not known."""

    image: Image | None
    paths: tuple[str, ...] = field(repr=False)
    code: str

"""An image that may become part of a cohort: where a source and the intake meet."""

from collections.abc import Callable
from dataclasses import dataclass, field

from imaging.labels.mask import Grid, Mask
from imaging.labels.table import Image
from imaging.volumes.volume import SourceVolume


@dataclass(frozen=True)
class Candidate:
    """An image of a source, not decoded yet.

    Attributes:
        image: whose it is, as pseudonyms.
        paths: of its files below the source; they may name a patient, so not for printing.
        decode: reads it; raises ImagingError.
        draw: its mask on its grid; raises ImagingError. None where the source has none.
    """

    image: Image
    paths: tuple[str, ...] = field(repr=False)
    decode: Callable[[], SourceVolume] = field(repr=False)
    draw: Callable[[Grid], Mask] | None = field(repr=False)


@dataclass(frozen=True)
class Refused:
    """Files that make no image; `image` is whose they are, None where that is not known."""

    image: Image | None
    paths: tuple[str, ...] = field(repr=False)
    code: str

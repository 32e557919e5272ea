"""Pictures and NIfTI files of a listing as candidates for a cohort.

Such files carry no header: whom they are of, and that nothing is burned into them, says the hospital that lists them.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from imaging.cohorts.candidate import Candidate, Refused, on_volume
from imaging.cohorts.labelling import Labelling
from imaging.deidentification import Naming
from imaging.errors import ImagingError
from imaging.labels import masks
from imaging.labels.mask import Mask
from imaging.labels.table import Image
from imaging.sources import listing
from imaging.sources.listing import ListedFile
from imaging.volumes import pictures
from imaging.volumes.radiograph import Colour
from imaging.volumes.volume import SourceVolume, Volume

SEVERAL_VOLUMES: Final = "listing.several_volumes"
NO_REPORTS: Final = "listing.no_reports"
SPACING: Final = "listing.spacing_contradicts"
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Listing:
    """A listing file.

    Attributes:
        path: of the listing; its files lie below its folder.
        colour: what becomes of coloured pictures.
    """

    path: Path = field(repr=False)
    colour: Colour = "reject"

    def contains(self, path: Path) -> bool:
        """See `ingest.Source`."""
        return path.resolve().is_relative_to(self.path.parent.resolve())

    def candidates(
        self, names: Naming, labelling: Labelling, wanted: Callable[[str], bool], on_progress: Callable[[int], None]
    ) -> Generator[Candidate | Refused, None, None]:
        """All rows, in their order.

        Args:
            names: the site's pseudonyms.
            labelling: what labels are.
            wanted: not asked; what is not labelled is not decoded by whoever takes it.
            on_progress: told how many rows there are.

        Raises:
            ImagingError: `listing.*`: the listing cannot be used, or the labels are to come from structured reports.
        """
        if labelling.reported is not None:
            raise ImagingError("a listing has no structured reports; give a folder of DICOM files", NO_REPORTS)
        rows = listing.read(self.path)
        on_progress(len(rows))
        folder = self.path.parent
        for row in rows:
            name = str(row.path.relative_to(folder))
            image = Image(names.patient(row.patient), names.uid(row.study or name), names.uid(name))
            draw = None if row.mask is None else _drawn(row.mask, labelling)
            yield Candidate(image, (name,), partial(_decode, row, name, self.colour), draw)


def _drawn(path: Path, labelling: Labelling) -> Callable[[SourceVolume], Mask]:
    """A picture is the mask of a picture, a NIfTI file that of a volume."""
    if path.name.lower().endswith(listing.PICTURE_MASK):
        return lambda source: masks.read_picture(path, labelling.numbers, source.volume.array.shape)
    return on_volume(lambda grid: masks.read(path, labelling.numbers, grid))


def _decode(row: ListedFile, name: str, colour: Colour) -> SourceVolume:
    found = pictures.read(row.path, colour)
    if len(found) != 1:
        raise ImagingError("a listed file holds several volumes; write each to a file of its own", SEVERAL_VOLUMES)
    return SourceVolume(
        volume=_spaced(found[0], row.spacing),
        patient=row.patient,
        study=row.study or name,
        series=name,
        instances=(name,),
        frame_of_reference=None,
        positions=(),
        datasets=(),
    )


def _spaced(volume: Volume, spacing: tuple[float, ...] | None) -> Volume:
    """The volume with the spacing that the listing states, which may not contradict the file's."""
    if spacing is None:
        return volume
    stated = volume.manifest.spacing
    fits = len(spacing) == volume.array.ndim
    if not fits or (stated is not None and not np.allclose(stated, spacing, rtol=_TOLERANCE)):
        raise ImagingError("a listed spacing is not that of its file; correct the listing", SPACING)
    if stated is not None:
        return volume
    manifest = replace(volume.manifest, spacing=spacing, spacing_source="listing")
    return Volume(volume.array, volume.affine, manifest)

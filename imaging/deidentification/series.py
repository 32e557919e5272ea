"""A volume or image made clean: the only thing that a cohort stores.

Of the header nothing goes on: the volume's manifest names no one, and names come as pseudonyms. Pixels are judged by
the headers of all their files, blanked where a profile says so, and searched for the patient's own words if it asks.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from imaging.deidentification import faces
from imaging.deidentification.pixels import policy, stored
from imaging.deidentification.pixels.policy import Verdict
from imaging.deidentification.profile import BASIC, Profile
from imaging.deidentification.pseudonyms import Naming
from imaging.deidentification.rejection import Quarantine, Quarantined
from imaging.deidentification.words import PatientWords
from imaging.volumes.headers import foreign_errors, text
from imaging.volumes.volume import SourceVolume, Volume

FACE: Final = "face.not_cleaned"
"""The scan may show a face, which is not masked: the cohort must not leave the site."""
BLANKED: Final = "pixels.blanked"
"""Parts of the picture were blanked."""
UNJUDGED: Final = "pixels.no_header"
"""No header says what is burned into the picture, nor of which part of the body it is."""


@dataclass(frozen=True)
class CleanSeries:
    """A de-identified volume or image. Made by `clean` alone.

    Attributes:
        patient, study, series: pseudonyms.
        volume: what is seen.
        warnings: `FACE`, `BLANKED`, `UNJUDGED`.
    """

    patient: str
    study: str
    series: str
    volume: Volume
    warnings: tuple[str, ...] = field(default=())


def clean(source: SourceVolume, names: Naming, profile: Profile = BASIC) -> CleanSeries:
    """De-identify a decoded volume or image.

    Raises:
        Quarantined: its pixels may not pass.
        ImageRejected: MALFORMED: a header cannot be read.
    """
    with foreign_errors():
        allowed = policy.sop_classes(profile)
        verdicts = [policy.judge(dataset, profile, allowed) for dataset in source.datasets]
        face = _face(source)
    if face and profile.pixels.faces == "quarantine":
        raise Quarantined(Quarantine.FACE)
    volume = _blanked(source, verdicts, profile)
    found = {FACE: face, BLANKED: volume is not source.volume, UNJUDGED: not source.datasets}
    warnings = [code for code, holds in found.items() if holds]
    return CleanSeries(
        patient=names.patient(source.patient),
        study=names.uid(source.study),
        series=names.uid(source.series),
        volume=volume,
        warnings=tuple(warnings),
    )


def _blanked(source: SourceVolume, verdicts: list[Verdict], profile: Profile) -> Volume:
    """The volume without what a verdict hides and without text that names the patient."""
    searching = profile.pixels.text_search != "off" and any(verdict.search for verdict in verdicts)
    hide = tuple({box for verdict in verdicts for box in verdict.hide})
    show = verdicts[0].show if verdicts else ()
    if not (searching or hide or show):
        return source.volume
    frames = _frames(source.volume.array)
    if searching:
        words, verdict = PatientWords(source.datasets[0]), verdicts[0]
        hide += stored.text_boxes(stored.masked(frames, hide, show), verdict, profile, words)
        if stored.text_boxes(stored.masked(frames, hide, show), replace(verdict, all_text=False), profile, words):
            raise Quarantined(Quarantine.TEXT)
    if not (hide or show):
        return source.volume
    masked = stored.masked(frames, hide, show)
    array = masked[0] if source.volume.array.ndim == 2 else masked.transpose(2, 1, 0)
    return Volume(array, source.volume.affine, source.volume.manifest)


def _frames(array: NDArray[Any]) -> NDArray[Any]:
    """(frames, rows, columns) of an image (rows, columns) or a volume (columns, rows, slices)."""
    return array[np.newaxis] if array.ndim == 2 else array.transpose(2, 1, 0)


def _face(source: SourceVolume) -> bool:
    """Whether the scan may show a face, by its header, or by its middle slice where a CT does not say what it is of."""
    if not source.datasets:
        return False
    header, volume = source.datasets[0], source.volume
    if faces.may_show(header):
        return True
    spacing = volume.manifest.spacing
    if (
        text(header, "BodyPartExamined")
        or volume.manifest.modality != "CT"
        or volume.array.ndim != 3
        or spacing is None
    ):
        return False
    middle = volume.array[:, :, volume.array.shape[2] // 2].T.astype(np.float32)
    return faces.ring_of_bone(middle, spacing[0] * spacing[1] / 100)

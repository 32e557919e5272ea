"""The planes that a file of a cross-sectional image holds: where each lies and how its values are to be read.

A classic file holds one plane; an enhanced file one a frame, described by its shared and per-frame functional
groups (PS3.3 C.7.6.16). Pixels are not touched. What says that planes at one position belong to
different volumes (b-value, phase, echo, ...) is collected here and used by `grouping`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from pydicom import Dataset, uid
from pydicom.multival import MultiValue

from imaging.volumes.headers import text
from imaging.volumes.rejection import ImageRejected, Rejection
from imaging.volumes.streams import frame_count
from imaging.volumes.values import Rescale

_ENHANCED = frozenset(
    {
        uid.EnhancedCTImageStorage,
        uid.EnhancedMRImageStorage,
        uid.EnhancedPETImageStorage,
        uid.LegacyConvertedEnhancedCTImageStorage,
        uid.LegacyConvertedEnhancedMRImageStorage,
        uid.LegacyConvertedEnhancedPETImageStorage,
    }
)
_CLASSIC = frozenset({uid.CTImageStorage, uid.MRImageStorage, uid.PositronEmissionTomographyImageStorage})
SOP_CLASSES = _ENHANCED | _CLASSIC
_MEASURED = SOP_CLASSES - {
    uid.MRImageStorage,
    uid.EnhancedMRImageStorage,
    uid.LegacyConvertedEnhancedMRImageStorage,
}
"""CT and PET: stored values mean nothing without their slope and intercept, which the standard requires."""

_CLASSIC_PARTS = {
    "b_value": "DiffusionBValue",
    "gradient": "DiffusionGradientOrientation",
    "temporal_position": "TemporalPositionIdentifier",
    "frame_time": "FrameReferenceTime",
    "phase_percent": "NominalPercentageOfCardiacPhase",
    "trigger_time": "TriggerTime",
    "echo": "EchoNumbers",
    "echo_time": "EchoTime",
    "inversion_time": "InversionTime",
    "acquisition": "AcquisitionNumber",
    "kind": "ImageType",
}
_ENHANCED_PARTS = {
    "b_value": ("MRDiffusionSequence", "DiffusionBValue"),
    "temporal_position": ("FrameContentSequence", "TemporalPositionIndex"),
    "phase_percent": ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase"),
    "trigger_time": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    "echo_time": ("MREchoSequence", "EffectiveEchoTime"),
    "acquisition": ("FrameContentSequence", "FrameAcquisitionNumber"),
    "ct_kind": ("CTImageFrameTypeSequence", "FrameType"),
    "mr_kind": ("MRImageFrameTypeSequence", "FrameType"),
    "pet_kind": ("PETFrameTypeSequence", "FrameType"),
}
_LABEL = re.compile(r"[A-Za-z0-9_ .+\\-]{0,64}")
"""What may go into a manifest: numbers and code strings, no free text."""


@dataclass(frozen=True)
class Plane:
    """One plane in the patient.

    Attributes:
        frame: index within its file, from 0.
        position: ImagePositionPatient, LPS+ millimetres.
        orientation: ImageOrientationPatient: direction of growing column index, then of growing row index.
        spacing: PixelSpacing: between rows, between columns, millimetres.
        rescale: how its stored values become values of the modality.
        stack: StackID within the file, or "".
        parts: name -> value of what may tell volumes at the same positions apart.
    """

    frame: int
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    rescale: Rescale
    stack: str
    parts: Mapping[str, str] = field(repr=False)


def of(dataset: Dataset) -> tuple[Plane, ...]:
    """The planes of a file, in the order of its frames; only within `headers.foreign_errors`.

    Raises:
        ImageRejected: NO_GEOMETRY, NO_RESCALE, MULTI_FRAME, MALFORMED.
    """
    if dataset.SOPClassUID in _ENHANCED:
        return _enhanced(dataset)
    if frame_count(dataset) != 1:
        raise ImageRejected(Rejection.MULTI_FRAME)
    parts = {name: _label(dataset, keyword) for name, keyword in _CLASSIC_PARTS.items()}
    return (_plane(0, dataset, dataset, dataset, _rescale(dataset, dataset), "", parts),)


def _enhanced(dataset: Dataset) -> tuple[Plane, ...]:
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    if len(frames) != frame_count(dataset):
        raise ImageRejected(Rejection.MALFORMED)
    found = []
    for index, frame in enumerate(frames):

        def group(keyword: str, frame: Dataset = frame) -> Dataset:
            """The item of a functional group: of the frame, else of all frames, else empty."""
            items = frame.get(keyword) or shared.get(keyword) or [Dataset()]
            item: Dataset = items[0]
            return item

        parts = {name: _label(group(macro), keyword) for name, (macro, keyword) in _ENHANCED_PARTS.items()}
        directions = group("MRDiffusionSequence").get("DiffusionGradientDirectionSequence") or [Dataset()]
        parts["gradient"] = _label(directions[0], "DiffusionGradientOrientation")
        found.append(
            _plane(
                index,
                group("PlanePositionSequence"),
                group("PlaneOrientationSequence"),
                group("PixelMeasuresSequence"),
                _rescale(dataset, group("PixelValueTransformationSequence")),
                text(group("FrameContentSequence"), "StackID"),
                parts,
            )
        )
    return tuple(found)


def _plane(
    frame: int,
    position: Dataset,
    orientation: Dataset,
    measures: Dataset,
    rescale: Rescale,
    stack: str,
    parts: Mapping[str, str],
) -> Plane:
    axes = _numbers(orientation, "ImageOrientationPatient", 6)
    spacing = _numbers(measures, "PixelSpacing", 2)
    gram = np.reshape(axes, (2, 3)) @ np.reshape(axes, (2, 3)).T
    # Directions that are not unit vectors at right angles place no voxel.
    if min(spacing) <= 0 or not np.allclose(gram, np.eye(2), atol=1e-3):
        raise ImageRejected(Rejection.NO_GEOMETRY)
    return Plane(frame, _numbers(position, "ImagePositionPatient", 3), axes, spacing, rescale, stack, parts)


def _rescale(dataset: Dataset, holder: Dataset) -> Rescale:
    """The transformation that a file, or the functional group of a frame, holds."""
    line = "RescaleSlope" in holder and "RescaleIntercept" in holder
    if dataset.SOPClassUID in _MEASURED and not line and "ModalityLUTSequence" not in holder:
        raise ImageRejected(Rejection.NO_RESCALE)
    return Rescale.of(holder)


def _label(dataset: Dataset, keyword: str) -> str:
    value = text(dataset, keyword)
    return value if _LABEL.fullmatch(value) else ""


def _numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...]:
    value = dataset.get(keyword)
    numbers = tuple(float(one) for one in value) if isinstance(value, MultiValue | list) else ()
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ImageRejected(Rejection.NO_GEOMETRY)
    return numbers

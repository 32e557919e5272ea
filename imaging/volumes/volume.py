"""The types that leave this package: a volume, the same with what still identifies its patient, and a reading.

Two conventions hold everywhere. World coordinates are RAS+ millimetres, as in NIfTI (x grows to the
patient's right), not DICOM's LPS+. The axes of a volume's array are (column, row, slice) of its DICOM frames, slices
ordered along row direction x column direction, so that the axes are right-handed in the patient; those of an
image are (row, column). An array from NIfTI keeps the axes of its file.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from imaging.volumes.manifest import Manifest
from imaging.volumes.rejection import Rejected


@dataclass(frozen=True)
class Volume:
    """A volume or image whose voxels mean something. Without identity, but not de-identified: pixels may show a face.

    Attributes:
        array: read-only; (i, j, k) of a volume = (column, row, slice), or (row, column) of an image. Values of
            the modality (HU for CT), or "larger is brighter" for projections; never colour, always finite.
        affine: (4, 4) float64, voxel index in the order of the array's axes to RAS+ millimetres; of an image in a
            frame of reference the third column is its unit normal, for the index 0; None without one.
        manifest: how it came about.

    Raises:
        RuntimeError: shapes do not fit together.
    """

    array: NDArray[Any] = field(repr=False)
    affine: NDArray[np.float64] | None = field(repr=False)
    manifest: Manifest

    def __post_init__(self) -> None:
        if self.array.ndim not in (2, 3) or self.manifest.shape != self.array.shape:
            raise RuntimeError("a volume is an array of two or three dimensions, as its manifest says")
        if self.affine is not None and self.affine.shape != (4, 4):
            raise RuntimeError("an affine has four rows and columns")
        self.array.flags.writeable = False
        if self.affine is not None:
            self.affine.flags.writeable = False


@dataclass(frozen=True)
class PlanePosition:
    """Where a plane of a volume came from: what SEG and RTSTRUCT refer to.

    Attributes:
        instance: SOP instance UID of the file.
        frame: number within the file, from 1.
        position: ImagePositionPatient, LPS+ millimetres: centre of the first pixel.
    """

    instance: str = field(repr=False)
    frame: int
    position: tuple[float, float, float]


@dataclass(frozen=True)
class SourceVolume:
    """A volume that still identifies its patient; nothing of it but `volume` may be printed or kept.

    Attributes:
        volume: the image.
        patient: PatientID without surrounding blanks, never empty.
        study: StudyInstanceUID, empty if there is none.
        series: SeriesInstanceUID, empty if there is none.
        instances: SOP instance UIDs of all files, in the order of `datasets`.
        frame_of_reference: FrameOfReferenceUID, None if there is none.
        positions: of each plane along the last axis of a volume; empty for an image without geometry.
        datasets: headers without pixels, one a file, for de-identification; not to be changed.
    """

    volume: Volume
    patient: str = field(repr=False)
    study: str = field(repr=False)
    series: str = field(repr=False)
    instances: tuple[str, ...] = field(repr=False)
    frame_of_reference: str | None = field(repr=False)
    positions: tuple[PlanePosition, ...] = field(repr=False)
    datasets: tuple[Dataset, ...] = field(repr=False)


@dataclass(frozen=True)
class Reading:
    """What became of a set of files: every one is in a volume or rejected by name.

    Attributes:
        volumes: in the order of their first files.
        rejected: in the order of the files.
    """

    volumes: tuple[SourceVolume, ...] = field(repr=False)
    rejected: tuple[Rejected, ...]

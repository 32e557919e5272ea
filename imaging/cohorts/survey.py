"""What is in a cohort: patients, labels, shapes, sizes, values and warnings, counted. It stays where the cohort is.

Each image is read once and one at a time. These are exact figures of a hospital's patients: whoever shows them shows
them to that hospital alone.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from imaging.cohorts.cohort import Cohort, StoredImage
from imaging.cohorts.labelling import SEGMENTATION
from imaging.cohorts.storage import CohortImage
from imaging.labels.kinds import Value
from imaging.labels.table import SPLITS
from imaging.sheets.distribution import Distribution

DUPLICATES = ("duplicate.instance", "duplicate.pixels", "series.duplicate_instance", "series.conflicting_instances")
"""Codes of files that were not used because they were there twice."""
NO_MODALITY = "modality not said"


@dataclass(frozen=True)
class Place:
    """An image of a cohort, by its number.

    Attributes:
        number: from 1, through all splits in their order; the same for every command.
        patient: pseudonym.
    """

    number: int
    split: str
    patient: str = field(repr=False)
    image: StoredImage


def places(cohort: Cohort) -> Iterator[Place]:
    """All images, in the order of their numbers."""
    number = 0
    for split in SPLITS:
        for patient in cohort.patients(split):
            for image in patient.images:
                number += 1
                yield Place(number, split, patient.key, image)


@dataclass
class Survey:
    """The figures of a cohort; `values`, `sizes` and `volumes` are distributions over images.

    Attributes:
        patients: split -> patients.
        images: split -> images.
        labels: (split, class) -> images that have it; of a segmentation those whose mask does.
        shapes: of arrays -> images.
        spacings: millimetres along each axis, to a hundredth, None where unknown -> images.
        modalities: -> images.
        warnings: code -> images.
        values: modality -> voxels' values.
        sizes: axis -> millimetres.
        volumes: class of a segmentation -> millilitres where its mask has the class.
        targets: of a regression.
    """

    patients: dict[str, int]
    images: Counter[str] = field(default_factory=Counter)
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)
    shapes: Counter[tuple[int, ...]] = field(default_factory=Counter)
    spacings: Counter[tuple[float, ...] | None] = field(default_factory=Counter)
    modalities: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    values: dict[str, Distribution] = field(default_factory=dict)
    sizes: dict[int, Distribution] = field(default_factory=dict)
    volumes: dict[str, Distribution] = field(default_factory=dict)
    targets: Distribution = field(default_factory=Distribution)


def classes(cohort: Cohort) -> tuple[str, ...]:
    """The names that labels are counted by; none of a regression."""
    return ("0", "1") if cohort.kind == "binary_classification" else cohort.classes


def said(cohort: Cohort, label: Value) -> tuple[str, ...]:
    """The classes that a label of the table names; none of a regression or segmentation."""
    names = classes(cohort)
    if isinstance(label, tuple):
        return tuple(name for name, has in zip(names, label, strict=False) if has)
    return (names[int(label)],) if names else ()


def survey(cohort: Cohort, look: Callable[[Place, CohortImage], None] = lambda place, image: None) -> Survey:
    """Count a cohort.

    Args:
        cohort: of this hospital.
        look: shown each image as it is read.

    Raises:
        ImagingError: `cohort.damaged`.
    """
    found = Survey({split: len(cohort.patients(split)) for split in SPLITS})
    for place in places(cohort):
        image = place.image.read()
        _count(found, cohort, place, image)
        look(place, image)
    return found


def _count(found: Survey, cohort: Cohort, place: Place, image: CohortImage) -> None:
    manifest = image.volume.manifest
    found.images[place.split] += 1
    found.shapes[place.image.shape] += 1
    found.warnings.update(place.image.warnings)
    modality = manifest.modality or NO_MODALITY
    found.modalities[modality] += 1
    found.values.setdefault(modality, Distribution()).add(image.volume.array)
    spacing = manifest.spacing
    found.spacings[None if spacing is None else tuple(round(step, 2) for step in spacing)] += 1
    for axis, step in enumerate(spacing or ()):
        found.sizes.setdefault(axis, Distribution()).add(np.array([step * place.image.shape[axis]]))
    if cohort.kind == SEGMENTATION:
        for name, voxels in masked(cohort, image).items():
            if voxels:
                found.labels[place.split, name] += 1
                if spacing is not None:
                    millilitres = np.array([voxels * float(np.prod(spacing)) / 1000])
                    found.volumes.setdefault(name, Distribution()).add(millilitres)
        return
    found.labels.update((place.split, name) for name in said(cohort, place.image.label))
    if cohort.kind == "regression":
        found.targets.add(np.array([place.image.label], np.float64))


def masked(cohort: Cohort, image: CohortImage) -> dict[str, int]:
    """Voxels of each class of an image's mask."""
    if image.mask is None:
        return dict.fromkeys(cohort.classes, 0)
    if image.mask.dtype == np.bool_:
        counts = [int(np.count_nonzero(layer)) for layer in image.mask]
    else:
        counts = np.bincount(image.mask.reshape(-1), minlength=len(cohort.classes) + 1)[1:].tolist()
    return dict(zip(cohort.classes, counts, strict=True))

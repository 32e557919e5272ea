"""What a study's network would see of a cohort, before anybody approves it: looked at, not drawn yet.

The images come from `silo_node.learning.examples` by the study's transforms, as training and evaluation get them; so a
preview cannot differ from them. Nothing is trained, sent or entered in the ledger.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from privacy.errors import DataError
from privacy.study import Study

if TYPE_CHECKING:
    from imaging.cohorts.cohort import Cohort
    from imaging.cohorts.survey import Place
    from imaging.sheets.picture import Slice


@dataclass(frozen=True)
class Seen:
    """An image as the network gets it.

    Attributes:
        place: which one.
        planes: what is shown of it.
        low: its smallest value.
        high: its largest value.
        classes: voxels of each class of its mask but the background; () without a mask.
    """

    place: "Place"
    planes: "tuple[Slice, ...]"
    low: float
    high: float
    classes: tuple[int, ...]


@dataclass(frozen=True)
class Preview:
    """What was looked at.

    Attributes:
        shape: (1, *spatial) of every image, for the network.
        used: images of the splits that the study uses.
        seen: those that were looked at and fit.
        unfit: (number, code) of those that do not.
    """

    shape: tuple[int, ...]
    used: int
    seen: tuple[Seen, ...] = field(repr=False)
    unfit: tuple[tuple[int, str], ...]

    @property
    def values(self) -> tuple[float, float]:
        """Smallest and largest value of all that was seen."""
        return min(seen.low for seen in self.seen), max(seen.high for seen in self.seen)


def look(study: Study, cohort: "Cohort", most: int) -> Preview:
    """Put at most so many images of a cohort, spread over it, through a study's transforms.

    Raises:
        DataError: the study's task or transforms, or the cohort as a whole, cannot be used.
    """
    from imaging.cohorts import portrait, survey
    from imaging.cohorts.cohort import CohortPatient
    from silo_node.learning import tasks
    from silo_node.learning.examples import Examples
    from silo_node.learning.transformed import TransformedImages

    disk = TransformedImages(Path(), b"", b"")
    pipeline, task = tasks.transforms(study), tasks.task(study)
    used = [place for place in survey.places(cohort) if place.split in ("train", study.evaluation.split)]
    wanted = set(portrait.spread([place.number for place in used], most))
    seen, unfit = [], []
    for place in used:
        if place.number not in wanted:
            continue
        try:
            # With this room everything is kept in memory, here one image, and nothing of it goes to the disk.
            alone = CohortPatient(place.patient, (place.image,))
            image, target = Examples((alone,), pipeline, task, disk, sys.maxsize).load(0, 0)
        except DataError as error:
            unfit.append((place.number, error.code))
            continue
        seen.append(_seen(study, place, image.numpy(), target.numpy() if task.problem.dense else None))
    return Preview(pipeline.shape, len(used), tuple(seen), tuple(unfit))


def _seen(study: Study, place: "Place", image: NDArray[Any], mask: NDArray[Any] | None) -> Seen:
    from imaging.sheets import picture

    turned = any(step.name == "orient" for step in study.transforms)
    classes = max(1, len(study.task.classes) - 1)
    planes = picture.slices(image[0], mask, np.eye(4) if turned else None, None, classes)
    counts = () if mask is None else tuple(np.bincount(mask.reshape(-1), minlength=classes + 1)[1:].tolist())
    # Copies: a plane must not keep its whole image in memory.
    kept = tuple(picture.Slice(plane.values.copy(), plane.classes.copy(), plane.aspect) for plane in planes)
    return Seen(place, kept, float(image.min()), float(image.max()), counts)

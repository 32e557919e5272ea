"""What a study says of its task, transforms and network, as `imaging` understands it; imports no torch by itself."""

from typing import TYPE_CHECKING

from imaging.cohorts.cohort import Cohort
from imaging.labels.table import SPLITS
from imaging.networks import building
from imaging.tasks import kinds
from imaging.tasks.task import Task
from imaging.transforms import pipeline
from imaging.transforms.pipeline import Pipeline
from privacy.errors import DataError
from privacy.study import Study
from silo_node.imaging_errors import imaging_errors

if TYPE_CHECKING:
    from torch import nn


def task(study: Study) -> Task:
    """The task. Raises DataError."""
    said = study.task
    with imaging_errors():
        return kinds.task(said.kind, said.dimensions, said.classes, said.range, said.loss)


def network(study: Study) -> "nn.Module":
    """The network with its public initial weights. Raises DataError."""
    said = study.model
    with imaging_errors():
        return building.build(said.name, said.parameters, said.seed, task(study).problem, said.freeze)


def transforms(study: Study) -> Pipeline:
    """The chain of transforms. Raises DataError."""
    with imaging_errors():
        return pipeline.build([(step.name, step.parameters) for step in study.transforms], study.task.dimensions)


def check_cohort(study: Study, cohort: Cohort) -> None:
    """Refuse a cohort that was labelled for something else: its numbers would be taken for other classes.

    Raises:
        DataError: its labels are of another kind (`cohort.other_kind`) or of other classes (`cohort.other_classes`),
            or some of its images have another number of axes (`cohort.other_dimensions`).
    """
    said = study.task
    if cohort.kind != said.kind:
        raise DataError(
            f"the cohort's labels are for {_plain(cohort.kind)}, the study is {_plain(said.kind)}; ingest the images "
            "with the labelling file that came with the study",
            code="cohort.other_kind",
        )
    learned = said.classes[1:] if said.kind == "segmentation" else said.classes  # the first is the background
    if cohort.classes != learned:
        raise DataError(
            f"the cohort's classes are {_listed(cohort.classes)}, the study's are {_listed(learned)}, and their order "
            "counts; ingest the images with the labelling file that came with the study",
            code="cohort.other_classes",
        )
    shapes = [image.shape for split in SPLITS for patient in cohort.patients(split) for image in patient.images]
    others = sum(len(shape) != said.dimensions for shape in shapes)
    if others:
        raise DataError(
            f"{others} of the cohort's {len(shapes)} images do not have the study's {said.dimensions} dimensions; "
            "ingest those that it means, by a query or by the label table",
            code="cohort.other_dimensions",
        )


def _plain(kind: str) -> str:
    return kind.replace("_", " ")


def _listed(classes: tuple[str, ...]) -> str:
    return ", ".join(classes) or "none"

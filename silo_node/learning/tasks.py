"""What a study says of its task, transforms and network, as `imaging` understands it; imports no torch by itself.

A study that starts from public weights pins their file: whoever builds its network gives the file, and it is compared
each time. Nothing is built without it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from imaging.cohorts.cohort import Cohort
from imaging.labels.table import SPLITS
from imaging.networks import building, pretrained
from imaging.tasks import kinds
from imaging.tasks.task import Task
from imaging.transforms import pipeline
from imaging.transforms.pipeline import Pipeline
from privacy.errors import ConfigError, DataError
from privacy.study import Study
from silo_node.imaging_errors import imaging_errors

if TYPE_CHECKING:
    from torch import nn


def task(study: Study) -> Task:
    """The task. Raises DataError."""
    said = study.task
    with imaging_errors():
        return kinds.task(said.kind, said.dimensions, said.classes, said.range, said.loss)


def network(study: Study, weights: Path | None) -> "nn.Module":
    """The network with its public initial weights, frozen ones among them.

    Raises:
        ConfigError, DataError: as `start`; DataError: the network cannot be built, or the weights do not fit it.
    """
    said = study.model
    begin = start(study, weights)
    with imaging_errors():
        return building.build(said.name, said.parameters, said.seed, task(study).problem, said.freeze, begin)


def start(study: Study, weights: Path | None) -> pretrained.Start | None:
    """The weights that a study starts from, out of their file; None for one that starts from its seed.

    Raises:
        ConfigError: as `starting_file`.
        DataError: the file is not the one that the study pins, or cannot be read.
    """
    file, said = starting_file(study, weights), study.model.pretrained
    if file is None or said is None:
        return None
    source = pretrained.Source(said.sha256, said.rename, said.skip, said.ignore)
    with imaging_errors():
        return pretrained.Start(source, pretrained.read(file, said.sha256))


def starting_content(study: Study, weights: Path | None) -> bytes | None:
    """The whole file of the weights that a study starts from, compared with it. Raises as `start`."""
    file, said = starting_file(study, weights), study.model.pretrained
    if file is None or said is None:
        return None
    with imaging_errors():
        return pretrained.content(file, said.sha256)


def starting_file(study: Study, weights: Path | None) -> Path | None:
    """`weights` again, if the study has a use for it.

    Raises:
        ConfigError: `weights.missing`: the study starts from a file and none is given, or it is not there;
            `weights.unused`: one is given to a study that starts from its seed.
    """
    said = study.model.pretrained
    if said is None and weights is not None:
        raise ConfigError("the study starts from no file of weights; leave --weights out", code="weights.unused")
    if said is not None and (weights is None or not weights.exists()):
        raise ConfigError(
            f"the study starts from public weights; get the file with the SHA-256 {said.sha256}, and give it with "
            "--weights when the study is signed or approved",
            code="weights.missing",
        )
    return weights


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

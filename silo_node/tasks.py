"""What a study says of its task, transforms and network, as `imaging` understands it; imports no torch by itself."""

from typing import TYPE_CHECKING

from imaging.networks import building
from imaging.tasks import kinds
from imaging.tasks.task import Task
from imaging.transforms import pipeline
from imaging.transforms.pipeline import Pipeline
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

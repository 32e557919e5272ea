"""The four preflight checks for every network and loss that a study may name, at small sizes."""

import pytest

from benchmarks import networks
from imaging.networks import building
from imaging.tasks import kinds, segmentation
from imaging.tasks.task import Task
from privacy.dp.preflight import PreflightReport, preflight

pytestmark = pytest.mark.timeout(900)  # the largest takes three minutes of a processor
QUICK = {
    *((name, 2) for name in ("classifier", "densenet", "dynunet", "resnet", "segresnet", "unet", "vit")),
    *((name, 3) for name in ("classifier", "dynunet", "unet")),
}
ALL = [
    pytest.param(name, dimensions, marks=[] if (name, dimensions) in QUICK else [pytest.mark.slow])
    for name in sorted(building.ALLOWED)
    for dimensions in (2, 3)
]
CLASSES = ("background", "first", "second")


def checked(name: str, task: Task) -> PreflightReport:
    dimensions, side = task.problem.dimensions, networks.SMALL[name][0]
    network = building.build(name, networks.parameters(name, dimensions), 1, task.problem)
    shape = (1, *[side] * dimensions)
    building.check(network, shape, task.problem)
    return preflight(network, task.loss, shape, 0.1, task.examples(shape[1:]))


def test_every_allowed_network_is_here() -> None:
    assert set(networks.SMALL) == set(building.ALLOWED)


@pytest.mark.parametrize(("name", "dimensions"), ALL)
def test_an_allowed_network_passes(name: str, dimensions: int) -> None:
    report = checked(name, networks.task(name, dimensions))
    assert report.independence < 1e-9
    assert 0.9 < report.sensitivity <= 1.001


@pytest.mark.parametrize(
    "task",
    [
        kinds.task("binary_classification"),
        kinds.task("multi_label_classification", 2, CLASSES),
        kinds.task("regression", bounds=(0.0, 10.0)),
        kinds.task("regression", bounds=(0.0, 10.0), loss="huber"),
    ],
    ids=["binary", "multi-label", "squared", "huber"],
)
def test_an_allowed_loss_passes(task: Task) -> None:
    assert checked("classifier", task).sensitivity <= 1.001


@pytest.mark.parametrize(
    ("loss", "dimensions"), [(loss, 2 + i % 2) for i, loss in enumerate(sorted(segmentation.LOSSES))]
)
def test_an_allowed_loss_of_a_segmentation_passes(dimensions: int, loss: str) -> None:
    assert checked("unet", kinds.task("segmentation", dimensions, CLASSES, loss=loss)).sensitivity <= 1.001

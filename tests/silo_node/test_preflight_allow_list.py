"""The four preflight checks for every network and loss that a study may name, at small sizes."""

import pytest

from imaging import models, tasks
from imaging.parameters import Parameter
from privacy.dp.preflight import preflight

SIDE = 32
SMALL: dict[str, dict[str, Parameter]] = {
    "resnet": {"layers": [1, 1, 1, 1], "widths": [8, 8, 8, 8], "stem_kernel": 3, "max_pool": False},
    "densenet": {"init_features": 8, "growth_rate": 4, "block_config": [2], "bottleneck": 2, "norm_groups": 4},
    "classifier": {"size": [SIDE, SIDE], "widths": [8, 16], "strides": [2, 2], "residual_units": 1},
    "efficientnet": {"width": 0.1, "depth": 0.1, "image_size": SIDE},
}


def test_every_allowed_network_is_here() -> None:
    assert set(SMALL) == set(models.ALLOWED)


@pytest.mark.parametrize("kind", sorted(tasks.TASKS))
@pytest.mark.parametrize("name", sorted(SMALL))
def test_an_allowed_network_passes_under_an_allowed_loss(name: str, kind: str) -> None:
    network = models.build(name, SMALL[name], seed=1)
    report = preflight(network, tasks.loss(kind), (1, SIDE, SIDE), 0.1)
    assert report.independence < 1e-9
    assert 0.9 < report.sensitivity <= 1.001

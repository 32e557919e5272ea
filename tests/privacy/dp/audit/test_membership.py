from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from privacy.dp.audit import finding, membership
from privacy.dp.audit.finding import Finding, Plan
from privacy.dp.gradients import model_vector
from privacy.randomness import SecureStream
from tests.privacy.dp.audit import broken
from tests.privacy.dp.audit.studies import SHAPE, loss, network, privacy, training


@cache  # a second of calibration
def plan() -> Plan:
    return finding.single_step(privacy(), training(), sampling_rate=1.0)


def images() -> Iterator[NDArray[np.float32]]:
    stream = SecureStream()
    while True:
        yield stream.normals(256).astype(np.float32).reshape(SHAPE)


def audit(trials: int) -> Finding:
    return membership.audit(plan(), network(), loss, images(), trials)


def test_a_sound_mechanism_is_right_as_often_as_its_noise_allows() -> None:
    found = audit(256)
    assert (found.canaries, found.guesses, found.what) == (256, 16, "membership inference")
    assert found.outcome == "consistent"
    assert found.accuracy < 0.598 + 5 / 32  # of the best test between two Gaussians one clip apart, and five sigma


@pytest.mark.audit
def test_clipping_by_image_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    broken.clipped_by_image(monkeypatch)
    # Four clips apart, where the attacker expects one: right with (0.598 + 0.959) / 2 = 0.779. Six sigma of 768 below.
    assert audit(768).accuracy > 0.69


@pytest.mark.slow
@pytest.mark.parametrize("defect", [broken.clipped_by_image, broken.tripled_clip])
def test_at_full_size(monkeypatch: pytest.MonkeyPatch, defect: Callable[[pytest.MonkeyPatch], None]) -> None:
    assert audit(4096).outcome == "consistent"
    defect(monkeypatch)
    assert audit(4096).outcome == "broken"


def test_the_network_is_as_before() -> None:
    model = network()
    before = model_vector(model)
    membership.audit(plan(), model, loss, images(), 16)
    np.testing.assert_array_equal(model_vector(model), before)


def test_too_few_patients_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="zip"):
        membership.audit(plan(), network(), loss, iter([next(images())]), 3)

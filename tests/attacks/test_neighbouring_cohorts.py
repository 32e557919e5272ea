"""Two cohorts that differ in one patient, trained by the real trainer in a real federation: only noise may tell them.

What leaves silo 1 is compared message by message and byte by byte in its lengths, and in the slot it leaves in. The
updates themselves differ by noise, and by one clip over the public divisor at most where the noise is taken away.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from privacy.dp.gradients import model_vector
from privacy.dp.patients import PatientData
from privacy.dp.training import PatientTrainer
from privacy.randomness import SecureStream
from privacy.study import Privacy, Training
from privacy.update import PrivateUpdate
from silo_node.rounds.agent import Agent
from tests.attacks.stage import Stage, codes, incidents, stage_of
from tests.attacks.test_instants import SLOT, Timed
from tests.attacks.test_sizes import Sent, tapped
from tests.integration.federation import MadeUpLearner

CLIP, LOT, RATE, NOISE = 0.5, 4, 0.5, 2.0
SIDE = 4
DRAWS = 60
PLAN = Training(rounds=1, local_steps=1, learning_rate=1.0)


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 1))


PARAMETERS = model_vector(network()).size


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], targets)


def cohort(patients: int) -> PatientData:
    """The first patients of one list; the ninth is like no other: thirty bright images in the place of one."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(1, 1, SIDE, SIDE, generator=generator) for _ in range(8)]
    images.append(torch.full((30, 1, SIDE, SIDE), 3.0))
    return PatientData(tuple(images[:patients]), (torch.arange(patients) % 2).float())


WITHOUT, WITH = cohort(8), cohort(9)


def study_privacy(mechanism: str = "dp_sgd", rate: float = RATE) -> Privacy:
    given = {"epsilon": 8.0, "delta": 1e-4, "noise_multiplier": NOISE} if mechanism == "dp_sgd" else {}
    return Privacy.model_validate(
        {"mechanism": mechanism, "clip": CLIP, "sampling_rate": rate, "lot_size": LOT, **given}
    )


def update(data: PatientData, privacy: Privacy) -> PrivateUpdate:
    trainer = PatientTrainer(network(), loss, data, privacy, PLAN, SecureStream())
    return trainer.train_round(model_vector(network()), 1)


class Trains(MadeUpLearner):
    """The federation's learner, whose updates the real trainer makes; silo 1 has the cohort under test."""

    data = WITHOUT

    def update(self, round_number: int) -> NDArray[np.float64]:
        return update(self.data if self.index == 1 else WITHOUT, study_privacy()).consume()


def sent_by_silo_1(stage: Stage, data: PatientData) -> tuple[Sent, list[float]]:
    """Its messages, and the instants of its uploads when training takes two seconds a patient."""
    sent: list[Sent] = []
    times: list[Timed] = []

    def cast(agent: Agent) -> None:
        timed = Timed(agent, len(data.images))
        if agent._index == 1:
            times.append(timed)
            sent.append(tapped(agent))

    stage.federation.learner = type("Neighbour", (Trains,), {"data": data})
    agents, results = stage.play(cast=cast)
    assert codes(results) == {"ok"}
    assert [incidents(agent) for agent in agents] == [[]] * 3
    return sent[0], times[0].sent


def test_what_leaves_is_alike_but_for_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of(tmp_path, monkeypatch, slot=SLOT, deadline=2 * SLOT, parameters=PARAMETERS)
    without, instants = sent_by_silo_1(stage.at(tmp_path / "without"), WITHOUT)
    with_one, later = sent_by_silo_1(stage.at(tmp_path / "with"), WITH)
    assert without == with_one  # as many messages, of the same kinds and lengths, in the same order
    assert sum(kind == "upload" for kind, _ in without) == 2
    assert instants == later == [SLOT, 2 * SLOT]


def test_updates_are_alike_but_for_noise() -> None:
    """Form and cost are equal; without noise and with everyone sampled, the difference is one patient's clip."""
    first, second = (update(data, study_privacy()) for data in (WITHOUT, WITH))
    assert (first.size, first.event, first.round_number) == (second.size, second.event, second.round_number)
    vectors = [found.consume() for found in (first, second)]
    assert vectors[0].dtype == vectors[1].dtype == np.float64
    assert vectors[0].nbytes == vectors[1].nbytes
    bare = [update(data, study_privacy("none", 1.0)).consume() for data in (WITHOUT, WITH)]
    assert np.linalg.norm(bare[1] - bare[0]) == pytest.approx(CLIP / LOT, rel=1e-3)


def test_the_difference_is_hidden_in_the_noise() -> None:
    """Along the line on which the one patient moves the sum, the noise is what it should be in both cohorts."""
    bare = [update(data, study_privacy("none", 1.0)).consume() for data in (WITHOUT, WITH)]
    line = (bare[1] - bare[0]) / np.linalg.norm(bare[1] - bare[0])
    seen = [[float(update(data, study_privacy()).consume() @ line) for _ in range(DRAWS)] for data in (WITHOUT, WITH)]
    deviation = NOISE * CLIP / LOT
    # Sampling adds at most its own spread: nine patients of one clip each, taken or not.
    bounds = deviation, (deviation**2 + 9 * RATE * (1 - RATE) * (CLIP / LOT) ** 2) ** 0.5
    for values in seen:
        assert 0.5 * bounds[0] <= np.std(values) <= 1.6 * bounds[1]
    assert abs(np.mean(seen[0]) - np.mean(seen[1])) <= RATE * CLIP / LOT + 6 * bounds[1] * (2 / DRAWS) ** 0.5

"""Attack 15, instants: the aggregator times each upload, and reads from it how long training took on whose patients.

Here training takes two seconds a patient that was drawn, in virtual time that each silo has for itself; everything
else is real. With a slot in the study, uploads leave at the same instant whatever the cohort. Without one, the report
lists instants as unprotected (tests/compliance/test_report.py).
"""

import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aggregator.rounds.arriving import Arriving
from privacy.channel.envelope import Signed
from privacy.ledger.entry import UPLOAD_SLOT_MISSED
from privacy.update import PrivateUpdate
from silo_node.rounds.agent import Agent
from silo_node.rounds.stored_upload import StoredUpload
from silo_node.rounds.upload_slot import UploadSlot
from tests.attacks.stage import HidesRejects, Stage, codes, incidents, stage_of

PATIENTS = {1: 10, 2: 100, 3: 10_000}
SECONDS_A_PATIENT = 2.0
SLOT = 30_000


class Timed:
    """A silo's virtual time: it starts with the round's keys, and training and waiting move it."""

    def __init__(self, agent: Agent, patients: int) -> None:
        self.now, self.sent = 0.0, list[float]()
        train, upload = agent.learner.train, agent.client.upload

        def long(weights: NDArray[np.float64], number: int) -> PrivateUpdate:
            self.now += patients * SECONDS_A_PATIENT
            return train(weights, number)

        def noted(stored: StoredUpload) -> int:
            self.sent.append(self.now)
            return upload(stored)

        agent.learner.train = long  # type: ignore[method-assign]
        agent.client.upload = noted  # type: ignore[method-assign]
        sending = agent._sending
        slot = UploadSlot(sending.slot.seconds, lambda: self.now, self.sleep)
        agent._sending = replace(sending, slot=slot)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def timed(stage: Stage) -> tuple[list[Agent], dict[int, list[float]]]:
    """A study of one round of training and one of metrics alone: when each silo's two uploads left, from the start."""
    times: dict[int, Timed] = {}

    def cast(agent: Agent) -> None:
        times[agent._index] = Timed(agent, PATIENTS[agent._index])

    agents, results = stage.play(cast=cast)
    assert codes(results) == {"ok"}
    return agents, {index: found.sent for index, found in times.items()}


def test_attack_instants_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agents, sent = timed(stage_of(tmp_path, monkeypatch, slot=SLOT, deadline=2 * SLOT))
    assert sent == {index: [SLOT, 2 * SLOT] for index in PATIENTS}
    assert [incidents(agent) for agent in agents] == [[]] * 3


@pytest.mark.slow
def test_attack_instants_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a slot the instant gives the number of patients."""
    _, sent = timed(stage_of(tmp_path, monkeypatch))
    assert {index: first / SECONDS_A_PATIENT for index, (first, _) in sent.items()} == PATIENTS


def test_a_training_that_outlasts_the_slot_shows_and_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents, sent = timed(stage_of(tmp_path, monkeypatch, slot=SLOT // 2, deadline=2 * SLOT))
    assert [sent[index][0] for index in PATIENTS] == [SLOT // 2, SLOT // 2, SLOT]
    assert [incidents(agent) for agent in agents] == [[], [], [UPLOAD_SLOT_MISSED]]


class NotesArrivals(HidesRejects):
    """An aggregator with a stop watch: seconds from its freeze of U2 to each header, by silo, in the first round."""

    arrivals: dict[int, float]

    def begin_upload(self, peer: str, message: Signed) -> Arriving:
        arriving = super().begin_upload(peer, message)
        header = arriving.upload.header
        if header.round_number == 1:
            state = self._course.states[1]
            instant = time.monotonic() - state.at  # type: ignore[union-attr]
            type(self).arrivals.setdefault(header.silo_index, instant)
        return arriving


@pytest.fixture
def arrivals() -> dict[int, float]:
    NotesArrivals.arrivals = {}
    return NotesArrivals.arrivals


@pytest.mark.slow
@pytest.mark.parametrize("slot", [0, 3])
def test_instants_by_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrivals: dict[int, float], slot: int
) -> None:
    """With a real clock: silos train 0, 1 and 2 seconds; their headers arrive together, or a second apart."""

    def cast(agent: Agent) -> None:
        train = agent.learner.train

        def long(weights: NDArray[np.float64], number: int) -> PrivateUpdate:
            time.sleep(agent._index - 1.0)
            return train(weights, number)

        agent.learner.train = long  # type: ignore[method-assign]

    _, results = stage_of(tmp_path, monkeypatch, slot=slot).play(NotesArrivals, cast)
    assert codes(results) == {"ok"}
    instants = [arrivals[index] for index in sorted(arrivals)]
    if slot:
        assert min(instants) >= slot
        assert max(instants) - min(instants) < 0.7
    else:
        assert all(later - earlier > 0.7 for earlier, later in pairwise(instants))

"""Attack 11: one update in two uploads. The difference of the two sums would then be free of that silo's noise.

A private update is consumed by its one encoding; it cannot be copied or stored, and no second round can have it.
"""

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aggregator.rounds.arriving import Arriving
from privacy.update import PrivateUpdate
from silo_node.rounds.agent import Agent
from tests.attacks.stage import HidesRejects, codes, kinds, stage_of

CULPRIT = 1


class Impatient(HidesRejects):
    """An aggregator that waits for nobody once a silo has uploaded for the second round."""

    def finish_upload(self, arriving: Arriving) -> None:
        if arriving.upload.header.round_number == 2:
            self._course.rules = replace(self._course.rules, deadline=0.2, patience=0.2)
        super().finish_upload(arriving)


def repeat(agent: Agent) -> None:
    """The culprit keeps the update of the first round and hands it in again in the second."""
    honest = agent.learner.train
    kept: list[PrivateUpdate] = []

    def train(weights: NDArray[np.float64], round_number: int) -> PrivateUpdate:
        if not kept:
            kept.append(honest(weights, round_number))
        kept[0].round_number = round_number
        return kept[0]

    if agent._index == CULPRIT:
        agent.learner.train = train  # type: ignore[method-assign]


def unconsumed(update: PrivateUpdate) -> NDArray[np.float64]:
    """Off: the vector is handed out and stays."""
    vector = update._vector
    if vector is None:
        raise RuntimeError("this update was already sent")
    return vector


def test_attack_same_update_twice_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agents, results = stage_of(tmp_path, monkeypatch, rounds=2).play(Impatient, repeat)
    culprit = kinds(agents[CULPRIT - 1])
    assert isinstance(results[CULPRIT - 1], RuntimeError)
    assert culprit.count("reserved") == 2
    assert culprit.count("spent") == culprit.count("survivors_signed") == 1
    assert not (agents[CULPRIT - 1].folder.upload / "header").exists()


@pytest.mark.slow
def test_attack_same_update_twice_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same vector is in both sums."""
    monkeypatch.setattr(PrivateUpdate, "consume", unconsumed)
    agents, results = stage_of(tmp_path, monkeypatch, rounds=2).play(cast=repeat)
    assert codes(results) == {"ok"}
    assert kinds(agents[CULPRIT - 1]).count("spent") == 2


def test_an_update_is_neither_copied_nor_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of(tmp_path, monkeypatch)
    update = stage.federation.agent(1, 1).learner.train(np.zeros(10), 1)
    for way in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="never copied"):
            way(update)
    update.consume()
    with pytest.raises(RuntimeError, match="already sent"):
        update.consume()

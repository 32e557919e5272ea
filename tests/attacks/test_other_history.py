"""Attack 5, model inconsistency (Pasquini et al. 2022): one victim starts from another model than the others.

Its update, made at a model of the attacker's choice, would stand out in a sum of updates made at the honest one. Here
the history, and with it the initial model, is in every message's context: nobody reserves budget or reads a patient.
"""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from privacy.digest import protocol_hash
from silo_node.rounds.agent import Agent
from tests.attacks.stage import codes, kinds, stage_of

VICTIM = 3


def deceive(agent: Agent) -> None:
    """The victim is given another initial model."""

    def initial_vector() -> NDArray[np.float64]:
        return np.full(10, 7.0)

    if agent._index == VICTIM:
        agent.learner.initial_vector = initial_vector  # type: ignore[method-assign]


def test_attack_model_inconsistency_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agents, results = stage_of(tmp_path, monkeypatch).play(cast=deceive)
    assert codes(results) == {"round.split_view"}
    for agent in agents:
        assert not {"reserved", "release"} & set(kinds(agent))
        assert agent.learner.seen == []  # type: ignore[attr-defined]


def test_attack_model_inconsistency_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a history that does not name the model, the victim trains at the attacker's model and is summed up."""
    monkeypatch.setattr("silo_node.rounds.standing.chains.first", lambda study, model: protocol_hash("chain", study))
    agents, _ = stage_of(tmp_path, monkeypatch).play(cast=deceive)
    assert "survivors_signed" in kinds(agents[0])
    seen = [agent.learner.seen[0] for agent in agents]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(seen[VICTIM - 1], np.full(10, 7.0))
    np.testing.assert_array_equal(seen[0], np.zeros(10))

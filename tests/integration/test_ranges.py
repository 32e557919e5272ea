"""Ranges through the real aggregator and agents: learned from sums, counted saturation, one for all silos."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from imaging.tasks import ranking
from privacy.ledger.budgets.budget import BudgetFilter, Cap
from privacy.secagg.ranges import Ranges
from privacy.study import Study
from privacy.update import UpdateLayout
from silo_node.rounds.contribution import Learning
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.standing import Standing
from tests.consortium import Consortium
from tests.integration.federation import BINS, Federation, MadeUpLearner, make_study, run_all

SIZES = (40, 60)
LAYOUT = UpdateLayout((("large", SIZES[:1]), ("small", SIZES[1:])), ranking.fields(BINS))
SCALES = np.array([0.5, 0.0005]).repeat(SIZES)
WEIGHTS = {"north": 4.0, "south": 2.0, "east": 1.0}
OUTLIERS = {1: 3, 2: 2, 3: 0}
"""How many values of the small tensor each silo sends far out of range in round 4."""


@dataclass
class TwoScales(MadeUpLearner):
    """Two tensors whose values differ 1000-fold."""

    parameters: int = sum(SIZES)

    def __post_init__(self) -> None:
        self.layout = LAYOUT

    def update(self, round_number: int) -> NDArray[np.float64]:
        update = SCALES * np.sin(np.arange(self.parameters) + self.index + round_number)
        if round_number == 4:
            update[SIZES[0] : SIZES[0] + OUTLIERS[self.index]] = 0.2
        return update


def weighted(federation: Federation, rounds: int) -> Study:
    """A study without noise, in which silos have weights."""
    study = make_study(
        federation.hub,
        federation.members,
        rounds=rounds,
        mechanism="none",
        epsilon=None,
        delta=None,
        noise_multiplier=None,
    )
    return study.model_copy(
        update={
            "aggregation": study.aggregation.model_copy(update={"weights": WEIGHTS}),
            "encryption": study.encryption.model_copy(update={"length": LAYOUT.length}),
        }
    )


def play(folder: Path, rounds: int) -> tuple[list[TwoScales], list[GlobalModel], list[list[int]], float]:
    """Learners, final models, saturated values of each round as each silo saw them, and the small tensor's
    error in round 3."""
    folder.mkdir()
    federation = Federation(folder, Consortium(folder), parameters=sum(SIZES), learner=TwoScales)
    study = weighted(federation, rounds)
    with federation.serving(study=study) as program:
        agents = [federation.agent(index, program.port, study=study) for index in (1, 2, 3)]
        for agent in agents:
            agent.budget = BudgetFilter(Cap(8.0, 1e-4), allow_unprotected=True, epsilon_of=lambda events, _: 0.0)
        results = run_all(agents)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    learners = [agent.learner for agent in agents if isinstance(agent.learner, TwoScales)]
    models = [result for result in results if isinstance(result, GlobalModel)]
    said = [[event["saturated"] for event in closed(folder / f"silo-{index}")] for index in (1, 2, 3)]
    weights = np.array(list(WEIGHTS.values()))
    wanted = np.average([learner.update(3) for learner in learners], axis=0, weights=weights)
    error = learners[0].seen[3] - learners[0].seen[2] - wanted
    return learners, models, said, float(np.sqrt((error[SIZES[0] :] ** 2).mean()))


def closed(silo: Path) -> list[dict[str, int]]:
    events = map(json.loads, (silo / "progress.jsonl").read_text().splitlines())
    return [event for event in events if event["event"] == "round_closed"]


def test_tensors_of_other_scales_get_ranges_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, models, said, error = play(tmp_path / "each", 4)
    # The public bound is 1. Large stays at it; small narrows by 4 twice; then its outliers widen it by 4.
    assert {model.ranges.powers for model in models} == {(0, -4)}
    assert said == [[0, 0, 0, sum(OUTLIERS.values()), 0]] * 3
    # Off: one range for all tensors, the public bound.
    monkeypatch.setattr(Ranges, "following", lambda self, *_, **__: self)
    _, models, said, coarse = play(tmp_path / "one", 4)
    assert {model.ranges.powers for model in models} == {(0, 0)}
    assert said == [[0, 0, 0, 0, 0]] * 3
    assert error < coarse / 50


def test_a_silo_with_other_ranges_is_not_in_the_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Standing.load

    def load(standing: Standing, learner: Learning) -> GlobalModel:
        model = honest(standing, learner)
        return replace(model, ranges=Ranges((-1,))) if standing.identity.member.name == "east" else model

    monkeypatch.setattr(Standing, "load", load)

    def play(folder: Path) -> tuple[list[GlobalModel | BaseException], list[str]]:
        folder.mkdir()
        federation = Federation(folder, Consortium(folder), rounds=1)
        with federation.serving() as program:
            agents = [federation.agent(index, program.port, patience=3.0) for index in (1, 2, 3)]
            results = run_all(agents)
        return results, [entry.kind for agent in agents for entry in agent.ledger.entries]

    results, kinds = play(tmp_path / "on")
    assert {getattr(result, "code", None) for result in results} == {"round.split_view"}
    assert "reserved" not in kinds
    # Off: the round closes, its integers are the same everywhere, and one hospital reads other values in them.
    monkeypatch.setattr(Ranges, "bind", lambda _, layout_digest: layout_digest)
    results, _ = play(tmp_path / "off")
    models = [result for result in results if isinstance(result, GlobalModel)]
    assert len(models) == 3
    assert len({model.chain for model in models}) == 1
    assert len({model.optimizer.weights.tobytes() for model in models}) == 2

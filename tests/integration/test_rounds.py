"""Rounds through the real aggregator and agents: exact sums, one chain, ledgers in order."""

import json
from pathlib import Path

import numpy as np
import pytest

from silo_node.egress.classes import CLASSES
from silo_node.egress.log import read
from silo_node.rounds.agent import Agent
from silo_node.rounds.global_model import GlobalModel
from tests.consortium import Consortium
from tests.integration.federation import Federation, run_all


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(tmp_path, Consortium(tmp_path))


def finals(results: list[GlobalModel | BaseException]) -> list[GlobalModel]:
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, GlobalModel)]


def test_a_study_runs_to_its_end_with_one_model_and_one_chain(federation: Federation) -> None:
    with federation.serving() as program:
        agents = [federation.agent(index, program.port) for index in (1, 2, 3)]
        models = finals(run_all(agents))
    assert len({model.chain for model in models}) == 1
    assert all(model.round_number == 3 for model in models)
    wanted = sum(agent.learner.update(number) for agent in agents for number in (1, 2)) / 3
    for model in models:
        np.testing.assert_array_equal(model.optimizer.weights, models[0].optimizer.weights)
        np.testing.assert_allclose(model.optimizer.weights, wanted, atol=1e-3)
    for index in (1, 2, 3):
        folder = federation.folder / f"silo-{index}"
        left = list(read(folder))
        told = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
        uploaded = sum(line["upload_bytes"] for line in told if line["event"] == "round_closed")
        assert sum(sent.size for sent in left if sent.name == "Upload") == uploaded > 0
        assert {sent.name for sent in left} <= CLASSES.keys()
        assert {"Submit/advertise", "Submit/shares", "Submit/sign", "Submit/unmask", "Await"} <= {s.name for s in left}


def kinds(agent: Agent) -> list[str]:
    return [entry.kind for entry in agent.ledger.entries]


def test_the_ledger_reserves_before_training_and_closes_every_round(federation: Federation) -> None:
    with federation.serving() as program:
        agents = [federation.agent(index, program.port) for index in (1, 2, 3)]
        finals(run_all(agents))
        hub = [entry.kind for entry in program.ledger.entries]
    train = ["round_opened", "reserved", "spent", "survivors_signed", "closed", "witnessed"]
    assert kinds(agents[1]) == [
        "enrolled",
        "key_granted",
        "round_opened",
        "release",
        "reserved",
        "spent",
        "survivors_signed",
        "closed",
        "witnessed",
        *train,
        "round_opened",
        "release",
        "survivors_signed",
        "closed",
        "witnessed",
    ]
    assert hub.count("survivors") == hub.count("closed") == 3


def test_global_metrics_are_those_of_all_silos(federation: Federation) -> None:
    with federation.serving() as program:
        agents = [federation.agent(index, program.port) for index in (1, 2, 3)]
        finals(run_all(agents))
    lines = (federation.folder / "silo-1" / "progress.jsonl").read_text().splitlines()
    evaluated = [event for event in map(json.loads, lines) if event["event"] == "evaluated"]
    assert [event["after_round"] for event in evaluated] == [0, 2]
    assert evaluated[0]["patients"] == 12
    assert evaluated[0]["auc"] == 1.0

"""Over real TLS: a silo comes late, and one loses all but its ledger; both go on with the one model of the study."""

import shutil
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aggregator.rounds import intake
from privacy.update import PrivateUpdate
from silo_node.rounds.agent import CAME_TOO_LATE, Agent
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.server_optimizer import Vector
from tests.consortium import Consortium
from tests.integration.federation import Federation


class Held:
    """Keeps a silo in the training of one round until others are where the test wants them."""

    def __init__(self, agent: Agent, round_number: int) -> None:
        self.reached, self.released = threading.Event(), threading.Event()
        train = agent.learner.train

        def held(weights: Vector, number: int) -> PrivateUpdate:
            if number == round_number:
                self.reached.set()
                assert self.released.wait(20)
            return train(weights, number)

        agent.learner.train = held  # type: ignore[method-assign]


class Gone(Exception):
    """A silo that stops between two rounds."""


def kinds(agent: Agent) -> list[str]:
    return [entry.kind for entry in agent.ledger.entries]


def trained(agent: Agent) -> list[object]:
    return [entry.body["round"] for entry in agent.ledger.entries if entry.kind == "spent"]


def check_one_end(agents: list[Agent], futures: "list[Future[GlobalModel]]") -> None:
    """All ended with the same chain and the same state to the bit, which is stored."""
    models = [future.result(30) for future in futures]
    for agent, model in zip(agents, models, strict=True):
        assert model.chain == models[0].chain
        for name in ("weights", "average", "first", "second"):
            np.testing.assert_array_equal(getattr(model.optimizer, name), getattr(models[0].optimizer, name))
        stored = GlobalModel.load(agent.folder.model_file)
        assert (stored.round_number, stored.chain) == (model.round_number, model.chain)
        codes = {entry.body["code"] for entry in agent.ledger.entries if entry.kind == "incident"}
        assert codes <= {CAME_TOO_LATE}, "whoever joins may begin a round whose keys are exchanged already"
        assert not agent.folder.snapshot.exists()


def test_a_silo_joins_at_round_3_of_5_from_others_than_the_steward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "REPLAYED_ROUNDS", 1)
    federation = Federation(tmp_path, Consortium(tmp_path), silos=4, rounds=5)
    with federation.serving() as program, ThreadPoolExecutor(4) as pool:
        program.coordinator._course.rules = replace(program.coordinator._course.rules, patience=0.5)
        agents = [federation.agent(index, program.port) for index in (1, 2, 3, 4)]
        holds = [Held(agents[0], 3), Held(agents[2], 3)]  # the steward is busy, and another; silo 2 waits for them
        futures = [pool.submit(agent.run) for agent in agents[:3]]
        assert holds[0].reached.wait(20)
        futures.append(pool.submit(agents[3].run))
        stands = threading.Event()
        while not stands.wait(0.02) and not futures[3].done():
            if "snapshot_taken" in kinds(agents[3]):
                stands.set()
        for hold in holds:
            hold.released.set()
        check_one_end(agents, futures)
        (taken,) = (entry.body for entry in agents[3].ledger.entries if entry.kind == "snapshot_taken")
        assert (taken["round"], taken["giver"]) == (2, "south")
        assert trained(agents[3]) == [4, 5], "it trains none of the rounds it missed, nor one that it came into"
        assert trained(agents[0]) == [1, 2, 3, 4, 5]
        hub = [entry.body for entry in program.ledger.entries if entry.kind == "key_material"]
        givers = [body["sender"] for body in hub if body["what"] == "grant"]
        assert (givers[:2], givers[2:]) == (["north"] * 2, ["south"])
        for agent in agents:
            agent.client.close()
            agent.ledger.close()


def test_a_steward_that_lost_all_but_its_ledger_goes_on(tmp_path: Path) -> None:
    federation = Federation(tmp_path, Consortium(tmp_path), rounds=3)
    with federation.serving() as program, ThreadPoolExecutor(4) as pool:
        agents = [federation.agent(index, program.port) for index in (1, 2, 3)]
        steward, one_round = agents[0], agents[0]._round

        def stops(model: GlobalModel) -> GlobalModel:
            if model.round_number == 2:
                raise Gone
            return one_round(model)

        steward._round = stops  # type: ignore[method-assign]
        futures = [pool.submit(agent.run) for agent in agents]
        assert isinstance(futures[0].exception(20), Gone)
        key = steward.folder.key_file.read_bytes()
        before = kinds(steward)
        steward.client.close()
        steward.ledger.close()
        shutil.rmtree(steward.folder.root)
        shutil.rmtree(steward.runtime)

        agents[0] = federation.agent(1, program.port)
        futures[0] = pool.submit(agents[0].run)
        check_one_end(agents, futures)
        assert agents[0].folder.key_file.read_bytes() == key, "a steward makes one key in an epoch"
        assert kinds(agents[0])[: len(before) + 2] == [*before, "snapshot_taken", "round_opened"]
        assert trained(agents[0]) == [1, 2, 3]
        for agent in agents:
            agent.client.close()
            agent.ledger.close()

"""`collegium-aggregator backup` beside a serving aggregator, and its copy put back after more rounds."""

import json
import shutil
import threading
from collections import Counter
from pathlib import Path

import pytest

from privacy.errors import CollegiumError
from privacy.ledger import reader
from silo_node.rounds.agent import Agent
from silo_node.rounds.global_model import GlobalModel
from tests.architecture.served import served
from tests.consortium import Consortium
from tests.e2e import commands
from tests.integration.federation import Federation, run_all
from tests.integration.test_outages import within

ROUNDS = 5
GOES_ON_ELSEWHERE = {"peer.unreachable", "close.early", "close.differs", "round.not_open", "round.other_history"}
"""What a silo may end with that is ahead of an aggregator put back, for a person to look at."""


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_backup_of_a_serving_aggregator_is_put_back_after_more_rounds(tmp_path: Path) -> None:
    federation = Federation(tmp_path, Consortium(tmp_path), silos=4, rounds=ROUNDS)
    patience = {"exchange_seconds": 2, "round_deadline_seconds": 5}
    hasty = federation.study.aggregation.model_copy(update=patience)
    federation.study = federation.study.model_copy(update={"aggregation": hasty})
    state, copy = federation.consortium.state("hub"), tmp_path / "backup"
    results: list[GlobalModel | BaseException] = []
    with served(federation) as aggregator:
        port = aggregator.port
        agents = [federation.agent(index, port, patience=40.0) for index in (1, 2, 3, 4)]
        thread = threading.Thread(target=lambda: results.extend(run_all(agents, timeout=120)))
        thread.start()
        within(40, "rounds/000002/upload-*", state)
        made = commands.run("aggregator", "backup", "--state", state, "--to", copy, "--json")
        assert made.code == 0, made.err
        within(40, "rounds/000004/sign-*", state)
        aggregator.process.kill()
    again = commands.run("aggregator", "backup", "--state", state, "--to", copy)
    assert again.code == 2, again.err
    checked = commands.run("aggregator", "backup", "--check", copy, "--json")
    assert (checked.code, json.loads(checked.out)) == (0, json.loads(made.out))

    state.rename(tmp_path / "lost")
    shutil.copytree(copy, state)
    shutil.copytree(tmp_path / "lost" / "identity", state / "identity")
    shutil.copy(tmp_path / "lost" / "cosigner.key", state)
    with served(federation, port=port):
        thread.join(120)
    assert len(results) == 4
    for result in results:
        if not isinstance(result, GlobalModel):
            assert isinstance(result, CollegiumError), result
            assert result.code in GOES_ON_ELSEWHERE, result
    for agent in agents:
        check_counts(agent)
    chains: dict[object, set[object]] = {}
    for agent in agents:
        for entry in agent.ledger.entries:
            if entry.kind == "closed" and entry.body["outcome"] == "closed":
                chains.setdefault(entry.body["round"], set()).add(entry.body["chain"])
    assert all(len(found) == 1 for found in chains.values())
    hub = reader.read(state / "ledger").entries
    told = [entry.body["code"] for entry in hub if entry.kind == "incident"]
    assert told.count("state.restored") == 1
    survivors = Counter(entry.body["round"] for entry in hub if entry.kind == "survivors")
    assert set(survivors.values()) <= {1}
    assert not (state / "backup.json").exists()


def check_counts(agent: Agent) -> None:
    """No round was charged, trained or closed twice by a silo."""
    for kind in ("reserved", "spent", "survivors_signed", "closed"):
        rounds = [entry.body["round"] for entry in agent.ledger.entries if entry.kind == kind]
        assert len(rounds) == len(set(rounds)), kind
    assert len(agent.learner.seen) <= ROUNDS  # type: ignore[attr-defined]

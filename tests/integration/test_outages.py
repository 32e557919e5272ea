"""The aggregator is killed again and again while silos run over real TLS; silos fall out, run dry and are too few."""

import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from aggregator.app import Program
from privacy.errors import BudgetExceeded, RoundAbandoned, Unreachable
from privacy.he.params import CiphertextParams
from silo_node.rounds.agent import Agent
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.sending import Sending
from silo_node.rounds.stored_upload import StoredUpload
from tests.architecture.served import served
from tests.consortium import Consortium
from tests.integration.federation import Federation, run_all
from tests.stored import anywhere


def within(seconds: float, pattern: str, root: Path) -> None:
    """Wait until something of this name is stored."""
    end = time.monotonic() + seconds
    while not anywhere(root, pattern):
        if time.monotonic() > end:
            raise TimeoutError(f"no {pattern}")
        time.sleep(0.002)


def outcomes(agent: Agent) -> list[str]:
    return [str(entry.body["outcome"]) for entry in agent.ledger.entries if entry.kind == "closed"]


class Gone(Exception):
    """A silo that had its key and is never seen again."""


class FallsOut(Sending):
    """It is gone before its upload leaves."""

    def send(self, upload: StoredUpload, number: int, started: float) -> int:
        raise Gone


def hurry(program: Program) -> None:
    """Less time than a study may allow, so that tests need not wait."""
    program.coordinator._course.rules = replace(program.coordinator._course.rules, deadline=1.0, patience=1.0)


@pytest.mark.slow
def test_running_silos_go_on_when_the_aggregator_is_killed_and_started_again(tmp_path: Path) -> None:
    federation = Federation(tmp_path, Consortium(tmp_path), rounds=4)
    state = federation.consortium.state("hub")
    results: list[GlobalModel | BaseException] = []
    with served(federation) as aggregator:
        port = aggregator.port
        agents = [federation.agent(index, port) for index in (1, 2, 3)]
        thread = threading.Thread(target=lambda: results.extend(run_all(agents)))
        thread.start()
        within(20, "rounds/000001/upload-*", state)
    for moment in ("000002/survivors", "000003/sign-*", "000004/close-*"):
        with served(federation, port=port):
            within(20, f"rounds/{moment}", state)
    with served(federation, port=port):
        thread.join(40)
    assert [type(result) for result in results] == [GlobalModel] * 3, results
    assert len({result.chain for result in results if isinstance(result, GlobalModel)}) == 1
    for agent in agents:
        assert len(agent.learner.seen) == 4  # type: ignore[attr-defined]
        assert outcomes(agent) == ["closed"] * 5


@pytest.mark.slow
def test_an_aggregator_killed_amid_uploads_is_sent_only_the_rest(tmp_path: Path) -> None:
    federation = Federation(tmp_path, Consortium(tmp_path), rounds=1, ring="large", parameters=6_000_000)
    params = CiphertextParams.for_study(federation.study.encryption, 3)
    size, frame = params.upload_bytes(federation.study.upload_length), params.frame_sizes(10**6)[0]
    state = federation.consortium.state("hub")
    results: list[GlobalModel | BaseException] = []
    sent: dict[int, int] = {}

    def counted(agent: Agent) -> None:
        upload = agent.client.upload

        def counting(stored: StoredUpload) -> int:
            bytes_sent = upload(stored)
            sent.setdefault(agent._index, bytes_sent)
            return bytes_sent

        agent.client.upload = counting  # type: ignore[method-assign]

    with served(federation) as aggregator:
        port = aggregator.port
        agents = [federation.agent(index, port, patience=60.0) for index in (1, 2, 3)]
        for agent in agents:
            counted(agent)
        thread = threading.Thread(target=lambda: results.extend(run_all(agents, timeout=200)))
        thread.start()
        within(60, "rounds/000001/arriving-*/frame-9", state)
        aggregator.process.kill()
    stored = {silo: len(anywhere(state, f"rounds/000001/arriving-{silo}/frame-*")) for silo in (1, 2, 3)}
    with served(federation, port=port):
        thread.join(200)
    assert [type(result) for result in results] == [GlobalModel] * 3, results
    print({silo: (sent[silo] - size, count * frame) for silo, count in stored.items()}, "bytes sent again and stored")
    assert max(stored.values()) >= 10
    for silo, count in stored.items():
        assert sent[silo] - size <= 4 * 2**20, (silo, count)


def test_a_terminated_aggregator_ends_at_once_even_if_silos_wait(tmp_path: Path) -> None:
    federation = Federation(tmp_path, Consortium(tmp_path))
    with served(federation) as aggregator:
        steward = federation.agent(1, aggregator.port, patience=0.5)
        results: list[GlobalModel | BaseException] = []
        thread = threading.Thread(target=lambda: results.extend(run_all([steward])))
        thread.start()
        time.sleep(1.0)
        aggregator.process.send_signal(signal.SIGTERM)
        assert aggregator.process.wait(8) == 0
        thread.join(20)
    assert [type(result) for result in results] == [Unreachable]


def test_too_few_silos_at_the_deadline_cost_budget_and_pause_after_two_rounds(tmp_path: Path) -> None:
    federation = Federation(tmp_path, Consortium(tmp_path), rounds=4)
    with federation.serving() as program:
        agents = [federation.agent(index, program.port) for index in (1, 2, 3)]
        agents[2]._sending = FallsOut(**vars(agents[2]._sending))
        hurry(program)
        results = run_all(agents)
    assert [type(result) for result in results] == [RoundAbandoned, RoundAbandoned, Gone], results
    for agent in agents[:2]:
        kinds = [entry.kind for entry in agent.ledger.entries]
        assert kinds.count("reserved") == kinds.count("spent") == 1
        assert outcomes(agent) == ["abandoned"] * 2
        incidents = [entry.body for entry in agent.ledger.entries if entry.kind == "incident"]
        assert [body["code"] for body in incidents] == ["round.abandoned"] * 2
        assert "too_few_uploads" in str(incidents[0]["detail"])
        assert "too_few_advertised" in str(incidents[1]["detail"]), "without keys of t silos nothing is spent"


def test_a_silo_whose_budget_runs_out_refuses_before_it_trains(tmp_path: Path) -> None:
    federation = Federation(tmp_path, Consortium(tmp_path), rounds=3)
    with federation.serving() as program:
        hurry(program)
        agents = [federation.agent(index, program.port, cap=2.0 if index == 2 else 8.0) for index in (1, 2, 3)]
        results = run_all(agents)
    poor = agents[1]
    assert isinstance(results[1], BudgetExceeded)
    reserved = [entry.body["round"] for entry in poor.ledger.entries if entry.kind == "reserved"]
    assert len(poor.learner.seen) == len(reserved)  # type: ignore[attr-defined]
    assert isinstance(results[0], RoundAbandoned)
    assert isinstance(results[2], RoundAbandoned)

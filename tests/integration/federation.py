"""A whole federation in one process for tests: real identities, TLS, gRPC, ledgers and ciphertexts.

Only the learner is made up: its "training" returns a known vector, so that sums can be checked exactly.
"""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aggregator.app import Program, build
from imaging.tasks import ranking
from privacy.channel import roster_statement
from privacy.channel.cosigning_key import cosigning_keys
from privacy.channel.files import publish
from privacy.channel.identity import Identity
from privacy.channel.one_way.line import Way
from privacy.dp.events import DpEvent
from privacy.ledger.budgets.budget import BudgetFilter, Cap
from privacy.randomness import SecureStream
from privacy.roster import least_threshold
from privacy.study import Study
from privacy.update import PrivateUpdate, UpdateLayout
from silo_node.approvals.costs import round_event
from silo_node.connection.client import AggregatorClient
from silo_node.egress.log import EgressLog
from silo_node.rounds.agent import Agent
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.progress import Progress
from silo_node.rounds.roster_watch import RosterWatch
from silo_node.state import StateDirectory
from tests.consortium import Consortium

BINS = 8


def made_up_layout(parameters: int) -> UpdateLayout:
    """What `MadeUpLearner` sends."""
    return UpdateLayout((("weight", (parameters,)),), ranking.fields(BINS))


def make_study(
    aggregator: Identity,
    silos: list[Identity],
    *,
    rounds: int = 2,
    deadline: int = 60,
    exchange: int = 20,
    ring: str = "small",
    slot: int = 0,
    parameters: int = 10,
    **privacy: object,
) -> Study:
    """A small study over given members."""
    mechanism: dict[str, object] = {
        "mechanism": "dp_sgd",
        "epsilon": 8.0,
        "delta": 1e-4,
        "clip": 1.0,
        "sampling_rate": 0.25,
        "lot_size": 10,
        "noise_multiplier": 2.0,
    }
    data = {
        "format": "collegium-study/1",
        "name": "trial",
        "consortium": aggregator.member.consortium,
        "task": {"kind": "binary_classification", "label": "opacity"},
        "model": {"name": "resnet", "seed": 1},
        "transforms": [{"name": "standardise"}],
        "training": {"rounds": rounds, "local_steps": 1, "learning_rate": 1.0},
        "aggregation": {
            "round_deadline_seconds": deadline,
            "exchange_seconds": exchange,
            "upload_slot_seconds": slot,
        },
        "privacy": mechanism | privacy,
        "evaluation": {"bins": BINS},
        "encryption": {"ring": ring, "length": made_up_layout(parameters).length},
        "roster": {
            "threshold": least_threshold(len(silos)),
            "steward": silos[0].member.name,
            "aggregator": {"name": aggregator.member.name, "identity": aggregator.keys.public_identity.hex()},
            "silos": [{"name": s.member.name, "identity": s.keys.public_identity.hex()} for s in silos],
        },
    }
    return Study.model_validate_json(json.dumps(data))


@dataclass
class MadeUpLearner:
    """Returns known updates and counts; remembers the weights it was given."""

    index: int
    event: DpEvent
    parameters: int = 10
    scale: float = 0.05
    seen: list[NDArray[np.float64]] = field(default_factory=list)
    layout: UpdateLayout = field(init=False)

    def __post_init__(self) -> None:
        self.layout = made_up_layout(self.parameters)

    def initial_vector(self) -> NDArray[np.float64]:
        return np.zeros(self.parameters)

    def train(self, weights: NDArray[np.float64], round_number: int) -> PrivateUpdate:
        self.seen.append(weights.copy())
        return PrivateUpdate(self.update(round_number), self.event, round_number)

    def update(self, round_number: int) -> NDArray[np.float64]:
        return self.scale * self.index * round_number * np.linspace(-1, 1, self.parameters)

    def evaluate(self, weights: NDArray[np.float64]) -> NDArray[np.int64]:
        scores = np.array([0.1, 0.9, 0.8, 0.3])
        return ranking.counts(scores, np.array([0, 1, 1, 0], np.float32), np.full(4, 0.5), BINS)


@dataclass
class Federation:
    """Aggregator and silos of one study below one folder."""

    folder: Path
    consortium: Consortium
    silos: int = 3
    rounds: int = 2
    deadline: int = 60
    ring: str = "small"
    slot: int = 0
    parameters: int = 10
    learner: type[MadeUpLearner] = MadeUpLearner
    study: Study = field(init=False)
    statement: Path = field(init=False)

    def __post_init__(self) -> None:
        self.hub = self.consortium.aggregator()
        names = ["north", "south", "east", "west", "centre"][: self.silos]
        self.members = [self.consortium.silo(name) for name in names]
        self.statement = self.consortium.root / "roster-statement.json"
        publish(self.statement, roster_statement.dump(self.consortium.roster_statement()))
        self.study = make_study(
            self.hub,
            self.members,
            rounds=self.rounds,
            deadline=self.deadline,
            ring=self.ring,
            slot=self.slot,
            parameters=self.parameters,
        )

    @contextmanager
    def serving(
        self, state: str = "hub", study: Study | None = None, port: int = 0, one_way: str | None = None
    ) -> Iterator[Program]:
        """The real aggregator program on a port of loopback (0: a free one); `one_way`: where one-way lines end."""
        root = self.folder / state
        root.mkdir(exist_ok=True)
        program = build(
            root, self.hub, study or self.study, f"localhost:{port}", self.statement, one_way_listen=one_way
        )
        worker = threading.Thread(target=program.coordinator.work)
        worker.start()
        program.start()
        try:
            yield program
        finally:
            program.coordinator.end()
            worker.join()
            program.stop(0)
            program.store.close()
            program.ledger.close()

    def agent(
        self,
        index: int,
        port: int,
        *,
        study: Study | None = None,
        cohort: str = "chest",
        cap: float = 8.0,
        patience: float = 20.0,
        way: Way | None = None,
    ) -> Agent:
        """The real agent of silo `index` (from 1) with a made-up learner; a step costs epsilon 1."""
        signed = study or self.study
        identity = self.members[index - 1]
        root = self.folder / f"silo-{index}"
        root.mkdir(exist_ok=True)
        directory = StateDirectory(root)
        folder = directory.study(signed.name)
        folder.make()
        client = AggregatorClient(
            identity,
            f"localhost:{port}",
            signed.digest(),
            patience,
            EgressLog(root, signed.digest().hex(), ""),
            way=way,
        )
        progress = Progress(root / "progress.jsonl", signed.training.rounds)
        return Agent(
            study=signed,
            cohort=cohort,
            identity=identity,
            folder=folder,
            ledger=directory.open_ledger(identity),
            budget=BudgetFilter(
                Cap(cap, 1e-4), allow_unprotected=False, epsilon_of=lambda events, _: sum(e.steps for e in events)
            ),
            client=client,
            learner=self.learner(index, round_event(signed), self.parameters),
            stream=SecureStream(),
            progress=progress,
            runtime=root / "runtime",
            cosigner=cosigning_keys(root, identity),
            cosign_patience=0.0,
            roster=RosterWatch(signed, identity, directory.statements(identity), client, progress),
        )


def run_all(agents: list[Agent], timeout: float = 60.0) -> list[GlobalModel | BaseException]:
    """Run agents at the same time; each result is the final model or what was raised."""
    with ThreadPoolExecutor(len(agents)) as pool:
        futures: list[Future[GlobalModel]] = [pool.submit(agent.run) for agent in agents]
        end = time.monotonic() + timeout
        results: list[GlobalModel | BaseException] = []
        for future in futures:
            error = future.exception(timeout=max(0.1, end - time.monotonic()))
            results.append(error if error is not None else future.result())
    for agent in agents:
        agent.client.close()
        agent.ledger.close()
    return results

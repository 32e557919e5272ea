"""A silo's program in the simulation: the real agent, a learner whose results are marks, and what is noted of both.

A silo's mark in a round is a power of two that no other silo has in any round, as the count of its held-out patients:
the opened sum shows who is in it, how often, and from which round.
"""

from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from privacy.channel.cosigning_key import cosigning_keys
from privacy.errors import IdentityError
from privacy.ledger.budgets.budget import BudgetFilter, Cap
from privacy.randomness import SecureStream
from privacy.secagg.survivors import CheckedSurvivors
from privacy.update import PrivateUpdate
from silo_node.approvals.costs import round_event
from silo_node.connection.client import AggregatorClient
from silo_node.egress.log import EgressLog
from silo_node.rounds.agent import Agent
from silo_node.rounds.closing import Closing
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.progress import Progress
from silo_node.rounds.roster_watch import RosterWatch
from silo_node.state import StateDirectory
from silo_node.witnessing.known_heads import Known
from silo_node.witnessing.recovery import Recovery
from tests.integration.federation import BINS, made_up_layout
from tests.simulation.clock import virtual_datetime
from tests.simulation.consortium import PARAMETERS
from tests.simulation.party import RUNTIME

if TYPE_CHECKING:
    from tests.simulation.world import World

PATIENCE = 100.0
"""Seconds without an answer after which a silo's client gives up."""
EXPIRED_PATIENCE = 10.0
COHORT = "chest"


@dataclass(frozen=True)
class Opened:
    """What a silo opened: the sum of marks, and which silos the survivor list names."""

    silo: int
    round_number: int
    members: tuple[int, ...]
    patients: int


def mark(silo: int, round_number: int, silos: int) -> int:
    return 1 << (silo - 1 + silos * (round_number - 1))


class MarkingLearner:
    """Trains nothing; sends marks."""

    def __init__(self, world: "World", index: int) -> None:
        self._world, self._index = world, index
        self._event = round_event(world.cast.study)
        self.layout = made_up_layout(PARAMETERS)

    def initial_vector(self) -> NDArray[np.float64]:
        return np.zeros(PARAMETERS)

    def train(self, weights: NDArray[np.float64], round_number: int) -> PrivateUpdate:
        self._world.training_begins(self._index, round_number)
        vector = np.full(PARAMETERS, self._index * round_number * 0.01)
        return PrivateUpdate(vector, self._event, round_number)

    def evaluate(self, weights: NDArray[np.float64]) -> NDArray[np.int64]:
        counts = np.zeros(self.layout.metric_fields, np.int64)
        number = self._world.round_of(self._index)
        counts[0] = counts[2 * BINS + 1] = mark(self._index, number, len(self._world.cast.silos))
        return counts


@dataclass(frozen=True)
class NotedClosing(Closing):
    """A silo's way to close a round, with what it opened noted."""

    world: "World"
    silo: int

    def apply(self, model: GlobalModel, sums: NDArray[np.int64], checked: CheckedSurvivors, ctx: bytes) -> GlobalModel:
        patients = int(sums[self.layout.metrics][2 * BINS + 1])
        self.world.opened.append(Opened(self.silo, model.round_number + 1, checked.members, patients))
        return super().apply(model, sums, checked, ctx)


@dataclass
class SimulatedAgent(Agent):
    """The agent, with what it opens noted."""

    world: "World" = field(kw_only=True)

    def _closing(self) -> NotedClosing:
        return NotedClosing(**vars(super()._closing()), world=self.world, silo=self._index)


class Uncounted(EgressLog):
    """Writes nothing: the log is its process's own affair, and no instant of its writing is to be simulated."""

    def count(self, name: str, size: int) -> None:
        pass


def agent(world: "World", index: int) -> SimulatedAgent:
    """The program of a silo over its folder, as `silo_node.program` puts it together.

    Raises:
        CollegiumError: what building it may raise.
    """
    study, identity, party = world.cast.study, world.cast.silos[index - 1], world.silos[index]
    if index in world.expired:
        raise IdentityError("our own certificate has expired", code="identity.expired")
    directory = StateDirectory(party.root)
    folder = directory.study(study.name)
    folder.make()
    client = AggregatorClient(identity, f"{index}", study.digest(), PATIENCE, Uncounted(party.root, "", ""))
    progress = Progress(None, study.training.rounds)
    now = virtual_datetime(lambda: world.scheduler.now, lambda: party.offset).now
    statements = directory.statements(identity)
    return SimulatedAgent(
        study=study,
        cohort=COHORT,
        identity=identity,
        folder=folder,
        ledger=directory.open_ledger(identity),
        budget=BudgetFilter(
            Cap(100, 1e-4), allow_unprotected=False, epsilon_of=lambda events, _: sum(e.steps for e in events)
        ),
        client=client,
        learner=MarkingLearner(world, index),
        stream=SecureStream(),
        progress=progress,
        runtime=party.root / RUNTIME,
        cosigner=cosigning_keys(party.root, identity),
        roster=RosterWatch(study, identity, statements, client, progress, partial(now, UTC), EXPIRED_PATIENCE),
        world=world,
    )


def recover(world: "World", index: int) -> None:
    """What a person does when the ledger was found to be older than its witnesses know it."""
    study, identity, party = world.cast.study, world.cast.silos[index - 1], world.silos[index]
    directory = StateDirectory(party.root)
    folder = directory.study(study.name)
    with directory.open_ledger(identity) as ledger:
        found = Recovery(ledger, folder, study, COHORT, Known.load(folder))
        found.give_up("Ada Roe", "an old copy came back", party.root / RUNTIME)

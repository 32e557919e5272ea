"""One silo of `benchmarks.round_floor`, a process of its own: the real agent, and a learner that learns nothing.

`python -m benchmarks.round_floor_silo STATE --study STUDY.yaml --aggregator HOST:PORT --parameters N` takes part from
an enrolled state directory until the study is over. What a round costs is read from the progress file that it writes.
`--profile FILE` writes where this process's own time goes (its workers are processes of their own).
"""

import argparse
import cProfile
import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging.tasks import ranking
from privacy import study
from privacy.channel.cosigning_key import cosigning_keys
from privacy.dp import accounting
from privacy.dp.events import DpEvent
from privacy.he.workers import cores
from privacy.ledger.budgets.budget import BudgetFilter, Cap
from privacy.randomness import SecureStream
from privacy.update import PrivateUpdate, UpdateLayout
from silo_node.approvals.costs import round_event
from silo_node.connection.client import AggregatorClient
from silo_node.egress.log import EgressLog
from silo_node.rounds.agent import Agent
from silo_node.rounds.progress import Progress
from silo_node.rounds.roster_watch import RosterWatch
from silo_node.rounds.round_vault import default_folder
from silo_node.state import StateDirectory

COHORT = "none"
PATIENCE_SECONDS = 30.0


class Idle:
    """A learner whose training is to hand out the same made-up update every round."""

    def __init__(self, parameters: int, bins: int, event: DpEvent) -> None:
        self.layout = UpdateLayout((("weight", (parameters,)),), ranking.fields(bins))
        self._update = np.random.default_rng(7).normal(0.0, 0.001, parameters)
        self._bins, self._event = bins, event

    def initial_vector(self) -> NDArray[np.float64]:
        """The initial weights: zeros."""
        return np.zeros_like(self._update)

    def train(self, weights: NDArray[np.float64], round_number: int) -> PrivateUpdate:
        """The update, at once."""
        return PrivateUpdate(self._update.copy(), self._event, round_number)

    def evaluate(self, weights: NDArray[np.float64]) -> NDArray[np.int64]:
        """Counts of two patients."""
        return ranking.counts(np.array([0.1, 0.9]), np.array([0, 1], np.float32), np.full(2, 0.5), self._bins)


def main() -> None:
    """Parse and take part."""
    parser = argparse.ArgumentParser(description="Take part in a study without patients.")
    parser.add_argument("state", type=Path)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--aggregator", required=True)
    parser.add_argument("--parameters", type=int, required=True)
    parser.add_argument("--processes", type=int, default=cores())
    parser.add_argument("--profile", type=Path)
    arguments = parser.parse_args()
    profile = cProfile.Profile() if arguments.profile else None
    with profile or nullcontext():
        take_part(arguments.state, arguments.study, arguments.aggregator, arguments.parameters, arguments.processes)
    if profile:
        profile.dump_stats(arguments.profile)


def take_part(state: Path, study_file: Path, target: str, parameters: int, processes: int) -> None:
    """Run the agent to the end of the study, as `silo_node.program` does, but for cohort, approval and torch."""
    directory = StateDirectory(state)
    identity = directory.identity()
    signed = study.load_signed(study_file, identity.study_key)
    folder = directory.study(signed.name)
    folder.make()
    cap = Cap(signed.privacy.epsilon or 0.0, signed.privacy.delta or 0.0)
    runtime = default_folder(state)
    client = AggregatorClient(
        identity, target, signed.digest(), PATIENCE_SECONDS, EgressLog(state, signed.digest().hex(), "")
    )
    progress = Progress(state / "progress.jsonl", signed.training.rounds)
    try:
        with directory.open_ledger(identity) as ledger:
            Agent(
                study=signed,
                cohort=COHORT,
                identity=identity,
                folder=folder,
                ledger=ledger,
                budget=BudgetFilter(cap, allow_unprotected=False, epsilon_of=accounting.epsilon_pld),
                client=client,
                learner=Idle(parameters, signed.evaluation.bins, round_event(signed)),
                stream=SecureStream(),
                progress=progress,
                runtime=runtime,
                roster=RosterWatch(signed, identity, directory.statements(identity), client, progress),
                cosigner=cosigning_keys(state, identity),
                processes=processes,
            ).run()
    finally:
        client.close()
        progress.close()
        shutil.rmtree(runtime, ignore_errors=True)


if __name__ == "__main__":
    main()

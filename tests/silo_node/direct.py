"""Real agents against the real aggregator without a network between them, so that tests can stop or deceive either.

Messages still pass through the encoders and the service of both sides; only TLS and gRPC are left out (tests of whole
rounds have them).
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from aggregator.rounds import deadlines
from aggregator.rounds.setup import Abandoned
from aggregator.rounds.states import Folding
from privacy import durable
from privacy.channel.cosigning_key import cosigning_keys
from privacy.channel.envelope import Signed
from privacy.channel.identity import Identity
from privacy.errors import AlreadyRunning, Unreachable
from privacy.ledger.budgets.budget import BudgetFilter, Cap
from privacy.ledger.store import Ledger
from privacy.randomness import SecureStream
from privacy.wire import convert
from privacy.wire.heads import HeadsGiven, HeadsShown
from privacy.wire.requests import Board, Phase
from privacy.wire.snapshots import SnapshotFrame, SnapshotOffer
from silo_node.approvals.costs import round_event
from silo_node.connection.client import AggregatorClient, RoundEnded
from silo_node.rounds.agent import Agent
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.progress import Progress
from silo_node.rounds.roster_watch import RosterWatch
from silo_node.rounds.stored_upload import StoredUpload
from silo_node.state import StateDirectory
from tests.aggregator.hub import Hub
from tests.aggregator.members import Members
from tests.integration.federation import MadeUpLearner

POLL_MILLISECONDS = 50


class Line:
    """What an agent has instead of `AggregatorClient`; tests override it to lie or to break."""

    def __init__(self, world: "World", index: int) -> None:
        self.world, self.index = world, index
        self.waits_for: tuple[int, Phase] | None = None
        self.answer: Callable[[], bool] | None = None

    def ask_head(self, nonce: bytes) -> Signed:
        return self.world.hub.ask_head(self.index, nonce)

    def exchange_heads(self, given: HeadsGiven) -> HeadsShown:
        return self.world.hub.exchange_heads(self.index, given)

    def submit(self, message: Signed) -> None:
        self.world.hub.submit(self.index, message)

    def last_word(self, message: Signed) -> None:
        self.submit(message)

    def upload(self, upload: StoredUpload) -> int:
        first = self.world.hub.begin(self.index, upload.header)
        parts = [convert.encode_header_part(upload.header), *map(convert.encode_piece, upload.pieces(first))]
        self.world.hub.stream(self.index, parts)
        return sum(len(part) for part in parts)

    def board(self, round_number: int, phase: Phase) -> Board:
        return self.world.hub.board(round_number, phase, 0, self.index)

    def attend(self, answer: Callable[[], bool]) -> None:
        self.answer = answer

    def wait(self, round_number: int, phase: Phase, said: tuple[Signed, ...] = ()) -> Board:
        return self._wait(round_number, phase, once=False)

    def wait_or_answer(self, round_number: int, phase: Phase) -> Board:
        return self._wait(round_number, phase, once=True)

    def _wait(self, round_number: int, phase: Phase, *, once: bool) -> Board:
        self.waits_for = (round_number, phase)
        try:
            while not self.world.stopped.is_set():
                attentive = self.answer is not None
                board = self.world.hub.board(round_number, phase, POLL_MILLISECONDS, self.index, attentive)
                if board.reached:
                    return board
                if board.wanted and self.answer is not None and self.answer() and once:
                    return board
        finally:
            self.waits_for = None
        raise Unreachable("the test has stopped the aggregator")

    def published(self, round_number: int, phase: Phase, said: tuple[Signed, ...] = ()) -> Board:
        board = self.wait(round_number, phase, said)
        if board.phase == Phase.ABANDONED:
            raise RoundEnded
        return board

    def sum_frames(self, round_number: int, folder: Path, count: int) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        durable.make_folder(folder)
        for index, frame in enumerate(self.world.hub.sum(round_number, self.index)[:count]):
            durable.write(folder / f"frame-{index}", frame)

    def upload_frame(self, round_number: int, silo_index: int, frame: int) -> bytes:
        return self.world.hub.upload_frame(round_number, silo_index, frame, self.index)

    def give_snapshot_frame(self, frame: SnapshotFrame) -> None:
        self.world.hub.give_snapshot_frame(frame, self.index)

    def snapshot_frames(self, offer: SnapshotOffer, folder: Path) -> None:
        durable.make_folder(folder)
        for index, frame in enumerate(self.world.hub.snapshot(offer.round_number, index=self.index)):
            durable.write(folder / f"frame-{index}", frame)

    def close(self) -> None:
        pass


@dataclass
class Running:
    """One agent in its thread."""

    agent: Agent
    thread: threading.Thread
    line: Line
    result: GlobalModel | None = None
    error: BaseException | None = None


@dataclass
class World:
    """An aggregator and the silos of its study, below one folder."""

    root: Path
    members: Members
    hub: Hub = field(init=False)
    stopped: threading.Event = field(default_factory=threading.Event)
    trained: list[tuple[int, int]] = field(default_factory=list)
    running: dict[int, Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.root / "hub").mkdir(parents=True)
        self.hub = Hub(self.root / "hub", self.members)

    @contextmanager
    def working(self) -> Iterator[None]:
        """The aggregator's own loop, in its thread, until the end of the test; then everything stops."""
        worker = threading.Thread(target=self._work)
        worker.start()
        try:
            yield
        finally:
            self.stopped.set()
            worker.join()
            for one in self.running.values():
                one.thread.join()
                one.agent.ledger.close()
            self.hub.ledger.close()

    def _work(self) -> None:
        """The aggregator's loop, which is told of time by the test and so need not sleep."""
        coordinator = self.hub.coordinator
        while not self.stopped.wait(0.005):
            state = coordinator._course.states[coordinator._course.newest]
            due = deadlines.tick(state, coordinator._course.rules, self.hub.now)
            if due is not state or isinstance(state, Folding | Abandoned):
                coordinator.step()

    def agent(self, index: int, line: Line | None = None, cap: float = 100.0) -> Agent:
        identity = self.members.of(index)
        root = self.folder(index)
        root.mkdir(exist_ok=True)
        directory = StateDirectory(root)
        folder = directory.study(self.members.study.name)
        folder.make()
        client = cast(AggregatorClient, line or Line(self, index))
        progress = Progress(None, self.members.study.training.rounds)
        return Agent(
            study=self.members.study,
            cohort="chest",
            identity=identity,
            folder=folder,
            ledger=patiently_opened(directory, identity),
            budget=BudgetFilter(
                Cap(cap, 1e-4), allow_unprotected=False, epsilon_of=lambda events, _: sum(e.steps for e in events)
            ),
            client=client,
            learner=CountingLearner(self, index),
            stream=SecureStream(),
            progress=progress,
            runtime=root / "runtime",
            cosigner=cosigning_keys(root, identity),
            roster=RosterWatch(self.members.study, identity, directory.statements(identity), client, progress),
            cosign_patience=0.0,
        )

    def start(self, index: int, line: Line | None = None, **options: float) -> Running:
        """Start (or start again) the agent of a silo over its folder."""
        line = line or Line(self, index)
        agent = self.agent(index, line, **options)
        one = Running(agent, threading.Thread(target=lambda: run(one)), line)
        self.running[index] = one
        one.thread.start()
        return one

    @property
    def everyone(self) -> range:
        """Roster indices."""
        return range(1, len(self.members.silos) + 1)

    def finish(self, seconds: float = 20.0) -> None:
        """Until all have ended; moves time on, past any deadline, when nothing else can happen."""
        self.until_ended(*self.running, seconds=seconds)

    def until_ended(self, *silos: int, seconds: float = 20.0) -> None:
        """Until these have ended, as `finish`."""
        end = time.monotonic() + seconds
        while any(self.running[index].thread.is_alive() for index in silos):
            if time.monotonic() > end:
                raise TimeoutError("the agents do not come to an end")
            if self.stuck():
                self.hub.now += self.members.study.aggregation.round_deadline_seconds
                time.sleep(0.1)
            time.sleep(0.02)

    def stuck(self) -> bool:
        """Whether every agent that still runs waits for a phase that its round has not reached."""
        waits = [one.line.waits_for for one in self.running.values() if one.thread.is_alive()]
        if any(wait is not None and wait[1] in (Phase.KEYS_GRANTED, Phase.SNAPSHOT_OFFERED) for wait in waits):
            return False  # those that wait for it answer
        state = self.hub.coordinator._course.states[self.hub.coordinator.progress()[0]]
        return (
            bool(waits)
            and not isinstance(state, Folding | Abandoned)
            and not any(wait is None or self.hub.board(*wait).reached for wait in waits)
        )

    def folder(self, index: int) -> Path:
        return self.root / f"silo-{index}"

    def entries(self, index: int, kind: str) -> list[dict[str, object]]:
        return [dict(entry.body) for entry in self.running[index].agent.ledger.entries if entry.kind == kind]


def patiently_opened(directory: StateDirectory, identity: Identity) -> Ledger:
    """The ledger, as soon as no worker that a silo of this same process forked has a copy of its lock."""
    for _ in range(200):
        try:
            return directory.open_ledger(identity)
        except AlreadyRunning:
            time.sleep(0.05)
    return directory.open_ledger(identity)


class CountingLearner(MadeUpLearner):
    """Says in the world's list which silo trained which round."""

    def __init__(self, world: World, index: int) -> None:
        super().__init__(index, round_event(world.members.study))
        self._world = world

    def train(self, weights, round_number):  # type: ignore[no-untyped-def]
        self._world.trained.append((self.index, round_number))
        return super().train(weights, round_number)


def run(one: Running) -> None:
    try:
        one.result = one.agent.run()
    except BaseException as error:  # noqa: BLE001 - the test looks at it
        one.error = error


def with_rounds(members: Members, number: int) -> Members:
    """The same members with a study of another length."""
    training = members.study.training.model_copy(update={"rounds": number})
    return replace(members, study=members.study.model_copy(update={"training": training}))

"""Real silos and a real aggregator over mutual TLS, one of them dishonest in one method, for the attacks' tests."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from aggregator.rounds.arriving import Arriving
from aggregator.rounds.coordinator import Coordinator
from aggregator.rounds.states import Folding, Uploading
from aggregator.serving.service import Service
from aggregator.storage.store import RoundStore, StudyStore
from privacy.channel.authorisation import caller
from privacy.channel.envelope import Signed
from privacy.errors import CollegiumError
from privacy.he.keyholder import KeyHolder
from privacy.wire import bodies
from privacy.wire.messages import Reject
from privacy.wire.requests import AwaitRequest, Board
from silo_node.rounds.agent import Agent
from silo_node.rounds.global_model import GlobalModel
from tests.consortium import Consortium
from tests.integration.federation import Federation, run_all

Result = GlobalModel | BaseException


class KnowsWhoAsks(Service):
    """Tells a dishonest aggregator which silo a board or a sum is for."""

    def _await(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        asking.silo = caller(context).name
        yield from super()._await(request, context)

    def _download(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        asking.silo = caller(context).name
        yield from super()._download(request, context)


asking = threading.local()
"""`asking.silo`: the name of the silo whose call the present thread serves."""


class HidesRejects(Coordinator):
    """An aggregator that keeps silos' refusals to itself, so that each silo must find out alone."""

    def wait(self, peer: str, request: AwaitRequest, wanted: Callable[[], bool]) -> Board:
        board = super().wait(peer, request, wanted)
        with self._changed:
            return self.shown(request, board) if board.reached else board

    def shown(self, request: AwaitRequest, board: Board) -> Board:
        """What the present silo is shown in the place of an honest board."""
        return board

    def submit(self, peer: str, message: Signed) -> None:
        index, public_key = self._member(peer, message)
        with self._changed:
            if not self.keeps_back(index, public_key, message):
                super().submit(peer, message)
            self._changed.notify_all()

    def keeps_back(self, index: int, public_key: bytes, message: Signed) -> bool:
        """Whether it has kept a message to itself, which an honest aggregator would take."""
        if message.kind == bodies.kind_of(Reject):
            reject = bodies.open_signed(message, Reject, public_key)
            self._store.round(reject.round_number).put(f"hidden-{index}", message)
        return message.kind == bodies.kind_of(Reject)


class DeclaresDropped(HidesRejects):
    """An aggregator that freezes the first round without the last silo of the roster, which is merely slow."""

    def finish_upload(self, arriving: Arriving) -> None:
        with self._changed:
            super().finish_upload(arriving)
            number, others = arriving.upload.header.round_number, self._course.rules.silos - 1
            state = self._course.states[number]
            if number == 1 and isinstance(state, Uploading) and len(state.uploads) == others:
                self._course.move(1, Folding(state.setup, state.uploads))


@dataclass
class Stage:
    """A federation whose members stay and whose state directories are a test's own."""

    federation: Federation
    patch: pytest.MonkeyPatch

    def at(self, folder: Path) -> "Stage":
        """The same members with nothing that they remember."""
        folder.mkdir(parents=True, exist_ok=True)
        self.federation.folder = folder
        return self

    def play(
        self,
        hub: type[Coordinator] = HidesRejects,
        cast: Callable[[Agent], None] = lambda agent: None,
        silos: tuple[int, ...] = (),
    ) -> tuple[list[Agent], list[Result]]:
        """Run the study once; `cast` may replace a method of an agent before it starts."""
        self.patch.setattr("aggregator.app.Coordinator", hub)
        self.patch.setattr("aggregator.app.Service", KnowsWhoAsks)
        with self.federation.serving() as program:
            chosen = silos or tuple(range(1, self.federation.silos + 1))
            agents = [self.federation.agent(index, program.port) for index in chosen]
            for agent in agents:
                cast(agent)
            return agents, run_all(agents)

    def store(self, number: int) -> RoundStore:
        """What the aggregator has of a round."""
        (folder,) = (self.federation.folder / "hub" / "studies").iterdir()
        return StudyStore(folder).round(number)

    def openings(self) -> list[str]:
        """From now on, one entry each time a keyholder is asked to open a sum."""
        calls: list[str] = []
        honest = KeyHolder.open_words

        def spied(holder: KeyHolder, *arguments: object) -> object:
            calls.append("open")
            return honest(holder, *arguments)  # type: ignore[arg-type]

        self.patch.setattr(KeyHolder, "open_words", spied)
        return calls


def codes(results: list[Result]) -> set[str]:
    """How silos ended: codes of errors, `ok` for a silo at the study's end."""
    return {result.code if isinstance(result, CollegiumError) else _other(result) for result in results}


def kinds(agent: Agent) -> list[str]:
    """The silo's ledger."""
    return [entry.kind for entry in agent.ledger.entries]


def incidents(agent: Agent) -> list[str]:
    """Codes of the incidents in a silo's ledger."""
    return [str(entry.body["code"]) for entry in agent.ledger.entries if entry.kind == "incident"]


def stage_of(folder: Path, patch: pytest.MonkeyPatch, silos: int = 3, rounds: int = 1, **study: int) -> Stage:
    """A new consortium below `folder`; `study` has more of what `Federation` takes."""
    return Stage(Federation(folder, Consortium(folder), silos=silos, rounds=rounds, **study), patch)


def _other(result: Result) -> str:
    return "ok" if isinstance(result, GlobalModel) else type(result).__name__

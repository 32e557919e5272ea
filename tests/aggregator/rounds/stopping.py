"""An aggregator that is stopped at a durable step, and silos that insist."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aggregator.storage import database, frame_files
from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.ledger.store import Ledger
from privacy.wire.requests import Phase
from tests.aggregator.hub import Hub
from tests.aggregator.made_up_upload import MadeUpUpload
from tests.aggregator.members import Members


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def killed_at(point: int) -> Iterator[list[int]]:
    """Die just before the `point`-th durable step, which is also just after the one before, and at every later one."""
    steps = [0]

    def dying(step: Callable[..., object]) -> Callable[..., object]:
        def instead(*arguments: object, **named: object) -> object:
            steps[0] += 1
            if steps[0] < point:
                return step(*arguments, **named)
            raise Killed

        return instead

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_files, "write", dying(frame_files.write))
        patch.setattr(database, "commit", dying(database.commit))
        patch.setattr(Ledger, "append", dying(Ledger.append))
        yield steps


class Silos:
    """Three stubborn silos: they send again what they are not sure of, and remember what they signed."""

    def __init__(self, hub: Hub, rounds: int) -> None:
        self.hub, self.rounds = hub, rounds
        self.signed: dict[int, bytes] = {}
        self.frames: dict[int, tuple[bytes, ...]] = {}
        self.sets: dict[int, tuple[tuple[Signed, ...], ...]] = {}
        self.unmasks: dict[int, tuple[Signed, ...]] = {}

    def run(self) -> None:
        for number in range(1, self.rounds + 1):
            for step in (self.hub.advertise, self.hub.share):
                for index in (1, 2, 3):
                    self.insist(step, index, number)
            sets = tuple(self.hub.board(number, phase).messages for phase in (Phase.ADVERTISED, Phase.SHARED))
            assert self.sets.setdefault(number, sets) == sets, "a second set was frozen"
            for index in (1, 2, 3):
                self.insist(self.hub.upload, MadeUpUpload.random(self.hub, index, number))
            if not self.hub.board(number, Phase.SURVIVORS).reached:
                self.hub.work()
            digest = self.hub.survivors_hash(number)
            assert self.signed.setdefault(number, digest) == digest, "a second survivor list was shown"
            if self.hub.board(number, Phase.SURVIVORS).phase < Phase.CLOSED:
                frames = self.hub.sum(number)
                assert self.frames.setdefault(number, frames) == frames, "a second sum was shown"
            for index in (1, 2, 3):
                self.hub.sign(index, number)
            for index in (1, 2, 3):
                self.insist(self.hub.unmask, index, number)
            unmasks = self.hub.board(number, Phase.UNMASKED).messages
            assert self.unmasks.setdefault(number, unmasks) == unmasks, "a second unmask set was frozen"
            for index in (1, 2, 3):
                self.hub.close(index, number)

    def insist(self, step: Callable[..., None], *arguments: object) -> None:
        try:
            step(*arguments)
        except ProtocolError as error:
            if error.code not in (
                "round.late",
                "round.not_open",
                "upload.late",
                "upload.repeated",
                "unmask.unexpected",
            ):
                raise


def steps_of_a_round(root: Path, members: Members) -> int:
    hub = Hub(root, members)
    with killed_at(10**6) as steps:
        Silos(hub, 1).run()
    return steps[0]

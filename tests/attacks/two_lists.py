"""A dishonest aggregator with two survivor lists of the first round: one with every silo, one without the last.

Each comes with its right sum, headers and seeds. Who is shown the second is in `second`. What silos answer is kept
by list and shown to whoever was shown that list, together with the signatures of colluders, which sign both.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NoReturn

from aggregator.rounds.fold import fold
from privacy.channel.envelope import Signed
from privacy.digest import protocol_hash
from privacy.wire import bodies
from privacy.wire.messages import Sign, Survivors, Unmask
from privacy.wire.requests import AwaitRequest, Board, Phase, SumRequest
from silo_node.rounds.agent import Agent
from tests.attacks.stage import HidesRejects, asking


@dataclass
class Answers:
    """What came of silos, by the digest of the list that it is for, and who is to be shown which."""

    second: set[str] = field(default_factory=set)
    expected: dict[bool, int] = field(default_factory=dict)
    """How many signatures to wait for, for the second list and for the first."""
    colluders: list[Agent] = field(default_factory=list)
    lists: dict[bool, Signed] = field(default_factory=dict)
    signs: dict[bytes, dict[int, Signed]] = field(default_factory=lambda: defaultdict(dict))
    unmasks: dict[bytes, dict[int, Signed]] = field(default_factory=lambda: defaultdict(dict))

    def digest(self, *, second: bool) -> bytes:
        """H(S) of a list that was shown."""
        return protocol_hash("survivors", self.lists[second].body)


class ShowsTwoLists(HidesRejects):
    """The aggregator; a test makes a subclass with `answers` of its own."""

    answers: Answers

    @property
    def _own(self) -> bytes:
        return self._publication.key.public_key().public_bytes_raw()

    def shown(self, request: AwaitRequest, board: Board) -> Board:
        if request.round_number != 1 or request.phase != Phase.SURVIVORS:
            return board
        self.answers.lists[False] = board.messages[0]
        if asking.silo not in self.answers.second:
            return board
        first = bodies.open_signed(board.messages[0], Survivors, self._own)
        kept = first.members[:-1]
        # The sum that is stored becomes that of the second list; the first is made again when it is asked for.
        digests = self._fold(first, len(kept))
        second = replace(first, members=kept, sum_frame_sha256=digests)
        message = bodies.seal(second, self._study.roster.aggregator.name, self._publication.key)
        self.answers.lists[True] = message
        return replace(board, messages=(message, *board.messages[1 : 1 + len(kept)]), seeds=board.seeds[: len(kept)])

    def sum_frames(self, peer: str, request: SumRequest) -> list[bytes]:  # type: ignore[override]
        with self._changed:
            first = bodies.open_signed(self.answers.lists[False], Survivors, self._own)
            self._fold(first, len(first.members) - (asking.silo in self.answers.second))
            return list(super().sum_frames(peer, request))

    def wait(self, peer: str, request: AwaitRequest, wanted: Callable[[], bool]) -> Board:
        if request.round_number != 1 or request.phase != Phase.SIGNED:
            return super().wait(peer, request, wanted)
        second = asking.silo in self.answers.second
        with self._changed:
            signs = self.answers.signs[self.answers.digest(second=second)]
            self._changed.wait_for(lambda: len(signs) >= self.answers.expected[second], 10)
            colluders = tuple(self._signed_by(agent, second=second) for agent in self.answers.colluders)
            return Board(True, Phase.SIGNED, (*colluders, *signs.values()))

    def keeps_back(self, index: int, public_key: bytes, message: Signed) -> bool:
        if message.kind == bodies.kind_of(Sign):
            self.answers.signs[bodies.open_signed(message, Sign, public_key).survivors_hash][index] = message
        elif message.kind == bodies.kind_of(Unmask):
            self.answers.unmasks[bodies.open_signed(message, Unmask, public_key).survivors_hash][index] = message
        else:
            return super().keeps_back(index, public_key, message)
        return True

    def _signed_by(self, agent: Agent, *, second: bool) -> Signed:
        ctx = bodies.open_signed(self.answers.lists[second], Survivors, self._own).ctx
        body = Sign(ctx, 1, self.answers.digest(second=second))
        return bodies.seal(body, agent.identity.member.name, agent.identity.keys.identity)

    def _fold(self, first: Survivors, count: int) -> tuple[bytes, ...]:
        silos = [index for index, _ in first.members[:count]]
        return fold(self._params, first.sum_frame_bytes, silos, self._store.round(1))


class Killed(Exception):
    """A silo's process is gone."""


def killed(*_: object) -> NoReturn:
    raise Killed


def dies_after(agent: Agent, kind: type[Unmask] | type[Sign]) -> None:
    """The silo is killed as soon as a message of this kind was taken."""
    submit = agent.client.submit

    def last(message: Signed) -> None:
        submit(message)
        if message.kind == bodies.kind_of(kind):
            raise Killed

    agent.client.submit = last  # type: ignore[method-assign]

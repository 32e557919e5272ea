"""What the aggregator shows of a study: the board of a round's phase once it is reached. Reads, and decides nothing."""

from collections.abc import Mapping
from dataclasses import replace

from aggregator.boards.key_board import KeyBoard
from aggregator.boards.snapshot_board import SnapshotBoard
from aggregator.rounds import setup, states
from aggregator.rounds.states import Closed, Published, State
from aggregator.storage.store import StudyStore
from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire.messages import Close
from privacy.wire.requests import AwaitRequest, Board, Phase
from privacy.wire.sets import held_digest


class Boards:
    """A view of the rounds' states. Not thread-safe by itself.

    Args:
        store: where seeds and abandonments lie.
        keys: the board of the key exchange.
        snapshots: the board of snapshots.
        states: the rounds by number, as the coordinator moves them.
    """

    def __init__(
        self, store: StudyStore, keys: KeyBoard, snapshots: SnapshotBoard, states: Mapping[int, State]
    ) -> None:
        self._store, self._keys, self._snapshots, self._states = store, keys, snapshots, states
        self.roster_statement: Signed | None = None

    def newest_closed(self) -> int:
        """The newest round that closed, or 0."""
        newest = range(len(self._states), 0, -1)
        return next((number for number in newest if isinstance(self._states.get(number), Closed)), 0)

    def closes(self, number: int) -> tuple[Close, ...]:
        """What silos closed a round with."""
        state = self._states.get(number)
        return tuple(close for _, close in state.closes.values()) if isinstance(state, Closed) else ()

    def wanted(self, request: AwaitRequest) -> bool:
        """Whether to tell one that is attentive of a silo that waits for a key or a snapshot."""
        return request.attentive and (self._keys.wanted or self._snapshots.wanted(self.newest_closed()))

    def reached(self, request: AwaitRequest, index: int) -> bool:
        """Whether the round has reached the phase that silo `index` asks for, or has ended."""
        if request.phase <= Phase.KEYS_GRANTED:
            return self._keys.reached(request.phase, index)
        if request.phase > Phase.ABANDONED:
            return self._snapshots.reached(request.phase, request.round_number, self.newest_closed())
        state = self._states.get(request.round_number)
        if state is None:
            return False
        if isinstance(state, setup.Abandoned):
            return self._store.round(request.round_number).get("abandon") is not None
        return states.phase(state) >= request.phase

    def board(self, request: AwaitRequest, index: int) -> Board:
        """What silo `index` is shown: the phase's messages, or how far the round is.

        With the round keys, whether or not they are all there, comes the roster statement.
        """
        statement = self.roster_statement if request.phase == Phase.ADVERTISED else None
        return replace(self._shown(request, index), wanted=self.wanted(request), roster_statement=statement)

    def _shown(self, request: AwaitRequest, index: int) -> Board:
        if request.phase <= Phase.KEYS_GRANTED:
            return self._keys.board(request.phase, index)
        if request.phase > Phase.ABANDONED:
            return self._snapshots.board(request.phase, request.round_number, self.newest_closed())
        state = self._states.get(request.round_number)
        if state is None or not self.reached(request, index):
            return Board(False, states.phase(state) if state else Phase.KEYS_GRANTED)
        store = self._store.round(request.round_number)
        abandonment = store.get("abandon")
        if isinstance(state, setup.Abandoned) and abandonment is not None:
            # Empty but for a round that t silos could not open, where it is the proof of that.
            proof = (message for _, message in sorted(store.all("unopenable")))
            return Board(True, Phase.ABANDONED, (abandonment, *proof))
        seeds: tuple[bytes, ...] = ()
        public = states.shown(state)
        if request.phase == Phase.SURVIVORS and public is not None:
            seeds = tuple(store.seeds(index) for index in public.uploads)
        return Board(True, states.phase(state), states.board(state, request.phase), seeds)

    def public(self, number: int) -> Published:
        """The published sum of a round.

        Raises:
            ProtocolError: there is none.
        """
        state = self._states.get(number)
        public = states.shown(state) if state is not None else None
        if public is None:
            raise ProtocolError("there is no sum to download for this round", code="sum.not_published")
        return public


def without_held(board: Board, request: AwaitRequest) -> Board:
    """The board without what is held already; whole where others are. It hashes up to 10 MB, so under no lock."""
    if not request.held or held_digest(board.messages[: request.held]) != request.held_digest:
        return board
    return replace(board, messages=board.messages[request.held :], first=request.held)

"""What the aggregator shows of a study: the board of a round's phase once it is reached. Reads, and decides nothing."""

from collections.abc import Mapping

from aggregator import rounds, setup
from aggregator.key_board import KeyBoard
from aggregator.store import StudyStore
from privacy.errors import ProtocolError
from privacy.wire.messages import AwaitRequest, Board, Phase


class Boards:
    """A view of the rounds' states. Not thread-safe by itself.

    Args:
        store: where seeds and abandonments lie.
        keys: the board of the key exchange.
        states: the rounds by number, as the coordinator moves them.
    """

    def __init__(self, store: StudyStore, keys: KeyBoard, states: Mapping[int, rounds.State]) -> None:
        self._store, self._keys, self._states = store, keys, states

    def reached(self, request: AwaitRequest) -> bool:
        """Whether the round has reached the phase that is asked for, or has ended."""
        if request.phase <= Phase.KEYS_GRANTED:
            return self._keys.reached(request.phase)
        state = self._states.get(request.round_number)
        if state is None:
            return False
        if isinstance(state, setup.Abandoned):
            return self._store.round(request.round_number).get("abandon") is not None
        return rounds.phase(state) >= request.phase

    def board(self, request: AwaitRequest) -> Board:
        """The phase's messages, or how far the round is."""
        if request.phase <= Phase.KEYS_GRANTED:
            return self._keys.board(request.phase)
        state = self._states.get(request.round_number)
        if state is None or not self.reached(request):
            return Board(False, rounds.phase(state) if state else Phase.KEYS_GRANTED)
        store = self._store.round(request.round_number)
        abandonment = store.get("abandon")
        if isinstance(state, setup.Abandoned) and abandonment is not None:
            return Board(True, Phase.ABANDONED, (abandonment,))
        seeds: tuple[bytes, ...] = ()
        public = rounds.shown(state)
        if request.phase == Phase.SURVIVORS and public is not None:
            seeds = tuple(store.seeds(index) for index in public.uploads)
        return Board(True, rounds.phase(state), rounds.board(state, request.phase), seeds)

    def public(self, number: int) -> rounds.Published:
        """The published sum of a round.

        Raises:
            ProtocolError: there is none.
        """
        state = self._states.get(number)
        public = rounds.shown(state) if state is not None else None
        if public is None:
            raise ProtocolError("there is no sum to download for this round", code="sum.not_published")
        return public

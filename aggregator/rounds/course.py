"""The rounds of a study by number, each in its state, and what time does to the newest. Not thread-safe by itself.

What a state freezes is durable before anybody sees it. Messages, sums and who waits are not its business.
"""

from collections.abc import Callable
from dataclasses import replace

from aggregator.rounds import deadlines, setup, states
from aggregator.rounds.round_states import RoundStates
from aggregator.rounds.setup import Rules
from aggregator.rounds.states import Closed, Folding, State, Unmasked
from aggregator.rounds.transitions import REJECTED
from aggregator.storage.store import StudyStore
from privacy.errors import ProtocolError

FORGOTTEN = "forgotten"
"""Why a round is abandoned whose end silos have, and this aggregator, which got an old copy, has not."""

_REFUSED = setup.Abandoned(REJECTED)


class Course:
    """How far the rounds are.

    Args:
        states: the rounds that were found; there is at least one.
        refused: the newest round whose sum silos refused, if it is announced and no round closed since; else 0.
        rules: of the study; they count the silos that are not revoked.
        store: where sets are kept.
        clock: seconds, monotonic; only differences matter.
        changed: is called after each move.
    """

    def __init__(
        self,
        states: RoundStates,
        refused: int,
        rules: Rules,
        store: StudyStore,
        clock: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self.states, self.rules = states, rules
        self.refused = len(states) if states[len(states)] == _REFUSED else refused
        self.revoked: frozenset[int] = frozenset()
        self._store, self._clock, self._changed = store, clock, changed
        self._present: set[int] = set()
        self._gone_on: set[int] = set()

    @property
    def newest(self) -> int:
        """The newest round."""
        return len(self.states)

    def open(self, number: int) -> State:
        """The newest round's state. Raises ProtocolError if `number` is another round."""
        if number != self.newest:
            raise _not_open()
        return self.states[number]

    def existing(self, number: int) -> State:
        """A round's state. Raises ProtocolError if there is no such round."""
        if number not in self.states:
            raise _not_open()
        return self.states[number]

    def move(self, number: int, state: State) -> None:
        """Make a new state the round's. Raises StorageError."""
        self._store.round(number).keep_sets(states.frozen_sets(state))
        self.states[number] = state
        if state == _REFUSED:
            self.refused = number
        elif isinstance(state, Closed):
            self.refused = 0
        self._changed()

    def follow(self, number: int) -> None:
        """The next round may begin, if it has not."""
        self.states.setdefault(number + 1, setup.Advertising())
        self._changed()

    # ---- time

    def here(self, silo: int) -> None:
        """A silo takes part: the study begins when t are here."""
        self._present.add(silo)

    def awaited(self, number: int, silo: int) -> None:
        """A silo waits for this round, which starts the patience.

        One that waits for a later round than there is remembers more than an aggregator whose old copy was put back:
        the rounds up to it are abandoned, one patience each, and the study goes on. A round that waits for Closes has
        no deadline: it is over when t silos wait for a later one, as they do when they have its end and said so again.
        """
        self.postpone()
        self.here(silo)
        newest = self.newest
        if not isinstance(self.states[newest], Unmasked):
            self._gone_on.clear()
        elif number > newest:
            self._gone_on.add(silo)
            if len(self._gone_on) >= self.rules.threshold:
                self.states[newest] = setup.Abandoned(FORGOTTEN)
        number = min(number, newest)
        self.states[number] = deadlines.awaited(self.states[number], self._clock())
        self._changed()  # there may be a deadline now

    def postpone(self) -> None:
        """The study begins when t silos are there, however long that takes; till then its patience starts anew."""
        if self.newest == 1 and len(self._present) < self.rules.threshold:
            self.states[1] = deadlines.postponed(self.states[1], self._clock())

    def taken(self, number: int, silo: int) -> None:
        """A silo took a frame of a round's sum or of its audit: time for its answer is left, where it is awaited."""
        if number == self.newest:
            self.states[number] = deadlines.taken(self.states[number], silo, self._clock())

    def revoke(self, revoked: frozenset[int]) -> None:
        """Go on without these silos, of all that the rules counted and those that were revoked before."""
        self.rules = replace(self.rules, silos=self.rules.silos + len(self.revoked) - len(revoked))
        self.revoked = revoked
        number = self.newest
        state = self.states[number]
        if isinstance(state, setup.Advertising | setup.Sharing):
            self.move(number, setup.without(state, revoked, self.rules, self._clock()))

    def tick(self) -> State:
        """The newest round's state after what is past its deadline was ended."""
        number = self.newest
        self.postpone()
        before = self.states[number]
        state = deadlines.tick(before, self.rules, self._clock())
        if state is not before:
            self.move(number, state)
        return state

    def seconds_left(self) -> float | None:
        """Until there is something to do without another message; None: nothing ever."""
        state = self.states[self.newest]
        if isinstance(state, Folding | setup.Abandoned):
            return 0.0
        due = deadlines.due_at(state, self.rules)
        return None if due is None else due - self._clock()


def _not_open() -> ProtocolError:
    return ProtocolError("this round is not open; wait for the one that is", code="round.not_open")

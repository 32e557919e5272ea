"""The states of a study's rounds by number: the newest in memory, those long over read anew from what is stored.

A round of 64 silos holds 11 MB of signed messages, most of them shares. Kept for all rounds they would be gigabytes,
and a start would verify every signature that was ever stored. What a round's state is, is not decided here.
"""

from collections.abc import Callable, Iterator, MutableMapping

from aggregator.rounds.states import State

KEPT = 3
"""Rounds in memory: the open one, and those whose ciphertexts are kept for silos that are behind."""


class RoundStates(MutableMapping[int, State]):
    """From round 1 to the newest, each with a state; not thread-safe by itself.

    Args:
        read: gives the state of a round that is over, as it is stored.
    """

    def __init__(self, read: Callable[[int], State]) -> None:
        self._read = read
        self._newest: dict[int, State] = {}
        self._last_read: tuple[int, State] | None = None

    def __getitem__(self, number: int) -> State:
        if number in self._newest:
            return self._newest[number]
        if number not in self:
            raise KeyError(number)
        if self._last_read is None or self._last_read[0] != number:
            self._last_read = number, self._read(number)
        return self._last_read[1]

    def __setitem__(self, number: int, state: State) -> None:
        self._newest[number] = state
        self._last_read = None
        for over in sorted(self._newest)[:-KEPT]:
            del self._newest[over]

    def __delitem__(self, number: int) -> None:
        raise RuntimeError("no round is forgotten")

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and 1 <= number <= len(self)

    def __iter__(self) -> Iterator[int]:
        return iter(range(1, len(self) + 1))

    def __len__(self) -> int:
        """How many there are, which is the number of the newest."""
        return max(self._newest, default=0)

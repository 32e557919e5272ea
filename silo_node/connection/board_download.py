"""The board of one phase while it is downloaded: a line that breaks costs the part on its way, and no more.

What all silos share in a round of 64 is 10 MB for each of them. A set that is frozen stays as it is, so its download
goes on after the messages that came; the aggregator begins anew where it has others. Whether a set is in order is for
whoever asked for it.
"""

from collections.abc import Iterable
from dataclasses import replace

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire import convert
from privacy.wire.limits import MAX_SILOS
from privacy.wire.requests import FROZEN, AwaitRequest, Board, Phase
from privacy.wire.sets import held_digest

MOST_MESSAGES = MAX_SILOS + 1
"""A message of each silo, and one of the aggregator."""


class BoardDownload:
    """What came of the board of `phase` of a round of a study."""

    def __init__(self, study_digest: bytes, round_number: int, phase: Phase) -> None:
        self._study_digest, self._round, self._phase = study_digest, round_number, phase
        self._messages: tuple[Signed, ...] = ()

    @property
    def held(self) -> int:
        """Messages that need not come again."""
        return len(self._messages) if self._phase in FROZEN else 0

    def request(self, milliseconds: int, *, attentive: bool) -> AwaitRequest:
        """What to ask for now."""
        digest = held_digest(self._messages) if self.held else b""
        return AwaitRequest(self._study_digest, self._round, self._phase, milliseconds, attentive, self.held, digest)

    def take(self, parts: Iterable[Board]) -> Board:
        """The whole board, once the answer has come to its end; what comes of an answer that breaks off is held.

        Raises:
            ProtocolError: no parts, parts of different boards, or more than a board can have.
        """
        came: list[Board] = []
        messages = seeds = 0
        try:
            for part in parts:
                messages, seeds = messages + len(part.messages), seeds + len(part.seeds)
                if messages > MOST_MESSAGES or seeds > MAX_SILOS or len(came) > MOST_MESSAGES + MAX_SILOS:
                    raise ProtocolError("a board has more parts than its silos filled", code="protocol.malformed")
                came.append(part)
        finally:
            if came:
                before = self._messages[: came[0].first]
                self._messages = (*before, *(message for part in came for message in part.messages))
        return replace(convert.join_board(came), messages=self._messages, first=0)

"""A round that ended without a sum: who says so and why is checked and entered, and the chain goes on without it."""

from dataclasses import dataclass, replace

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError, RoundAbandoned
from privacy.secagg import chain as chains
from privacy.secagg.place import Place
from privacy.secagg.unopenable import check_abandonment
from privacy.wire import bodies
from privacy.wire.messages import UNOPENABLE, Abandon
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.opening import GIVEN_UP
from silo_node.rounds.progress import Progress
from silo_node.rounds.records import RoundRecords
from silo_node.rounds.standing import Standing

ABANDONED_IN_A_ROW = 2
"""After so many, and so many more, the silo pauses: an aggregator could otherwise burn budgets."""


@dataclass(frozen=True)
class Abandonment:
    """What a silo does when a round is abandoned."""

    standing: Standing
    records: RoundRecords
    progress: Progress

    def accept(self, model: GlobalModel, place: Place, messages: tuple[Signed, ...]) -> GlobalModel:
        """The state after the round.

        Args:
            model: the state before it.
            place: of the silo in the round.
            messages: the aggregator's Abandon, and what t silos say of a round that cannot be opened.

        Raises:
            ProtocolError: `round.foreign_abandon`, or t silos do not bear out that it cannot be opened.
            RoundAbandoned: too many in a row; the silo pauses.
        """
        number = place.round_number
        abandon = self._signed(number, messages)
        if abandon.reason == UNOPENABLE or self.records.has(GIVEN_UP, number):
            found = check_abandonment(messages[1:], place)
            named = f"silo {found.culprit} is at fault" if found.culprit else "nobody is named"
            self.records.incident(
                found.code, f"round {number}: {place.roster.threshold} silos could not open it; {named}"
            )
        chain = chains.following(model.chain, chains.Outcome.ABANDONED, b"")
        self.records.incident("round.abandoned", f"round {number}: {abandon.reason}; its budget stays spent")
        ended = self.standing.advance(
            replace(model, round_number=number, chain=chain, outcome=chains.Outcome.ABANDONED, members=())
        )
        self.progress.say("phase", number, phase="abandoned")
        in_a_row = self.records.abandoned_in_a_row()
        if in_a_row % ABANDONED_IN_A_ROW == 0:
            raise RoundAbandoned(
                f"{in_a_row} rounds in a row ended without a sum ({abandon.reason}); this silo pauses so that "
                "no more budget is lost: find out which silos were missing, then run again"
            )
        return ended

    def _signed(self, number: int, messages: tuple[Signed, ...]) -> Abandon:
        """The aggregator's word for this very round."""
        if not messages:
            raise ProtocolError("the aggregator abandoned a round without saying so", code="round.foreign_abandon")
        study = self.standing.study
        abandon = bodies.open_signed(messages[0], Abandon, bytes.fromhex(study.roster.aggregator.identity))
        if abandon.round_number != number or abandon.study_digest != study.digest():
            raise ProtocolError("the aggregator abandoned another round than this", code="round.foreign_abandon")
        return abandon

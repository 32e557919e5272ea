"""Whether the others opened what this silo opened: their Closes of a round, before the next one begins.

The aggregator compares Closes too, but silos do not trust it. What the Closes say of the others' ledgers is kept in
ours: a ledger that became shorter is an incident, and no reason to stop.
"""

from dataclasses import dataclass
from typing import Any, cast

from privacy.digest import Json
from privacy.errors import ProtocolError
from privacy.secagg.chain import Outcome
from privacy.secagg.closing import DIFFERS, check_closes
from privacy.wire.messages import LedgerHead
from privacy.wire.requests import Phase
from silo_node.connection.client import AggregatorClient
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.records import RoundRecords
from silo_node.rounds.standing import Standing

WITNESSED = "witnessed"


@dataclass(frozen=True)
class Agreement:
    """What this silo asks of the others after each round."""

    standing: Standing
    records: RoundRecords
    client: AggregatorClient

    def check(self, model: GlobalModel) -> None:
        """Wait until the round that `model` is the state after has ended for t silos, and compare.

        Raises:
            ProtocolError: `close.differs`: another silo opened something else, or others hold the round abandoned
                that we closed or closed one that we hold abandoned; the study is halted here. Or as `check_closes`.
        """
        number = model.round_number
        if number == 0:
            return
        board = self.client.wait(number, Phase.CLOSED)
        try:
            if (board.phase == Phase.ABANDONED) != (model.outcome is Outcome.ABANDONED):
                raise ProtocolError(f"round {number} ended otherwise for others than for this silo", code=DIFFERS)
            own = self.standing.own_close(number) if model.outcome is Outcome.CLOSED else None
            if own is not None:
                roster = self.standing.study.roster
                self._witness(number, check_closes(board.messages, own, roster.index(self.standing.name), roster))
        except ProtocolError as error:
            if error.code == DIFFERS:
                self.standing.halt(number)
            raise

    def heads(self) -> tuple[LedgerHead, ...]:
        """The newest head of each other silo's ledger that is kept here, ascending by silo: what our Close tells."""
        return tuple(sorted(self._newest().values(), key=lambda head: head.silo))

    def _witness(self, number: int, heads: tuple[LedgerHead, ...]) -> None:
        """Keep the newest head of each other silo's ledger; of one that went back, the one it had before."""
        if self.records.has(WITNESSED, number):
            return
        kept = self._newest()
        for head in heads:
            party = self.standing.study.roster.silos[head.silo - 1].name
            if party in kept and not head.continues(kept[party]):
                self.records.incident("ledger.rolled_back", f"round {number}: the ledger of {party} lost entries")
            else:
                kept[party] = head
        told: list[Json] = [
            {"party": party, "size": head.size, "root": head.root.hex()} for party, head in sorted(kept.items())
        ]
        self.records.add(WITNESSED, number, heads=told)

    def _newest(self) -> dict[str, LedgerHead]:
        """By name, what was kept after the latest round of this study that has any."""
        entries = self.records.all_of(WITNESSED)
        heads = cast(list[dict[str, Any]], entries[-1]["heads"]) if entries else []
        index = self.standing.study.roster.index
        return {
            head["party"]: LedgerHead(index(head["party"]), head["size"], bytes.fromhex(head["root"])) for head in heads
        }

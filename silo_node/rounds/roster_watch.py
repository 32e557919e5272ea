"""Who of a study is revoked, by the newest roster statement of the consortium, before this silo exchanges any key.

The statement comes through the aggregator and is believed in nothing but its signature, its serial number and its
expiry. It is looked at before the epoch's key is exchanged and before a round is opened, so that one which has
expired costs no round, and again with the round's AdvertiseSet. An expired one passes: it is waited out, and then the
silo ends with a code after which it is started again. A silo that is revoked itself, or whose aggregator is, stops for
good.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from privacy.channel.identity import Identity
from privacy.channel.roster_statement import EXPIRED, RosterStatement
from privacy.channel.statement_memory import StatementMemory
from privacy.errors import IdentityError, ProtocolError, Unreachable
from privacy.study import Study
from privacy.wire.requests import Board, Phase
from silo_node.connection.client import AggregatorClient
from silo_node.rounds.progress import Progress

LOOK_SECONDS = 2.0
"""How often an expired statement is looked at again."""


@dataclass(frozen=True)
class RosterWatch:
    """One silo's view of the statements of its consortium.

    `clock` gives the present (aware), `patience` the seconds that an expired statement is waited out.
    """

    study: Study
    identity: Identity
    memory: StatementMemory
    client: AggregatorClient
    progress: Progress
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    patience: float = 0.0

    def refuse_if_revoked(self) -> None:
        """Check the newest statement that this silo has seen, whether or not it has expired.

        Raises:
            IdentityError: it revokes this silo or the study's aggregator.
        """
        if self.memory.newest is not None:
            self._check_parties(self.memory.newest)

    def known(self) -> frozenset[int]:
        """Roster indices of the silos that the newest statement revokes, whether or not it has expired."""
        newest = self.memory.newest
        return frozenset() if newest is None else newest.silos_of(self.study.roster)

    def before(self, round_number: int) -> None:
        """Check the statement before keys are exchanged; one that has expired is waited out for a while.

        Raises:
            IdentityError, ProtocolError, Unreachable: as `revoked`.
        """
        deadline, told = time.monotonic() + self.patience, False
        while True:
            try:
                self.revoked(self.client.board(round_number, Phase.ADVERTISED))
                return
            except Unreachable as error:
                if error.code != EXPIRED or time.monotonic() + LOOK_SECONDS > deadline:
                    raise
            if not told:  # once: it may take days
                self.progress.say("phase", round_number, phase="waiting for a roster statement")
            told = True
            time.sleep(LOOK_SECONDS)

    def revoked(self, board: Board) -> frozenset[int]:
        """Roster indices of the silos that are revoked, by the statement on a board of round keys.

        Raises:
            IdentityError: forged or from the future; `identity.revoked`: this silo or the aggregator is.
            Unreachable: `roster.expired`; the same aggregator may show a newer one later.
            ProtocolError: `roster.missing`; older than one that was seen, or malformed.
        """
        if board.roster_statement is None:
            if self.study.roster.statements == "none":
                return frozenset()
            raise ProtocolError(
                "the aggregator shows no roster statement, without which nobody knows who is revoked; have it serve "
                "the newest one of the consortium",
                code="roster.missing",
            )
        statement = self.memory.take(board.roster_statement, self.clock())
        self._check_parties(statement)
        return statement.silos_of(self.study.roster)

    def _check_parties(self, statement: RosterStatement) -> None:
        own, aggregator = self.identity.keys.public_identity.hex(), self.study.roster.aggregator
        for identity, who in ((own, "this silo"), (aggregator.identity, f"the aggregator '{aggregator.name}'")):
            found = statement.find(identity)
            if found is not None:
                raise IdentityError(
                    f"{who} is revoked since {found.since} ({found.reason}) by roster statement {statement.serial}; "
                    "this study has ended here: ask the consortium",
                    code="identity.revoked",
                )

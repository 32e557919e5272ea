"""Where a silo stands in a round, and the checks that every set of signed messages of the round owes it.

A set comes from the aggregator and is believed in nothing: each message is verified against the roster, stands once
and in roster order, names the silo that signed it and is of this very context. Another context means that silos were
told different histories (`round.split_view`). Own messages come back byte for byte. What a kind of message must hold
beyond that is checked by its own file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.roster import Roster
from privacy.secagg.faults import SiloFault
from privacy.wire import bodies
from privacy.wire.messages import Advertise, Shares

BodyT = TypeVar("BodyT", Advertise, Shares)


@dataclass(frozen=True)
class Place:
    """One silo in one round of one epoch. Indices and rounds count from 1."""

    roster: Roster
    ctx: bytes
    round_number: int
    silo: int

    def open_set(self, messages: Sequence[Signed], kind: type[BodyT], own: Signed | None) -> tuple[BodyT, ...]:
        """Verify a published set of messages of one kind.

        Args:
            messages: as published, ascending by roster index.
            kind: of all of them.
            own: what this silo sent, if it sent one: an entry under its index must be that. It may be missing.

        Raises:
            IdentityError: a signature or a kind is not what was claimed.
            StudyError: a signer is not on the roster.
            ProtocolError: `round.` and `set_order`, `own_altered` or `split_view`; `round.wrong_name`, a SiloFault.
        """
        opened: list[BodyT] = []
        last = 0
        for message in messages:
            index = self.roster.index(message.signer)
            body = bodies.open_signed(message, kind, bytes.fromhex(self.roster.silos[index - 1].identity))
            if index <= last:
                raise ProtocolError(
                    "the aggregator published a set that repeats a silo or is not in the order of the roster",
                    code="round.set_order",
                )
            last = index
            if body.silo_index != index:
                raise SiloFault(
                    "a message names another silo than the one that signed it", code="round.wrong_name", silo=index
                )
            if (body.ctx, body.round_number) != (self.ctx, self.round_number):
                raise ProtocolError(
                    f"silo {index} was shown another study, key, round or history than this silo; "
                    "the round stops here, ask the consortium before going on",
                    code="round.split_view",
                )
            if index == self.silo and own is not None and message != own:
                raise ProtocolError(
                    "the aggregator published another message under this silo's name than it sent",
                    code="round.own_altered",
                )
            opened.append(body)
        return tuple(opened)

    def require_threshold(self, members: int) -> None:
        """Raises ProtocolError `round.too_few` if fewer than t, counted on the roster, are left."""
        if members < self.roster.threshold:
            raise ProtocolError(
                f"{members} silos are left where the study needs {self.roster.threshold}; this round cannot go on",
                code="round.too_few",
            )

"""M6, after the opening: what the other silos say that they opened, and where their ledgers stand.

Every silo compares t signed Closes with its own, and does not leave that to the aggregator. Any two sets of t silos
have 2t - n in common, more than may collude, and an honest silo signs one Close a round: silos that went on have one
chain and one sum, whatever the aggregator showed to whom. A Close of the same context that differs is proof that
somebody opened something else; who is wrong is for people to find out.
"""

from collections.abc import Sequence

from privacy.channel.envelope import Signed
from privacy.errors import CollegiumError, ProtocolError
from privacy.roster import Roster
from privacy.wire import bodies
from privacy.wire.messages import Close, LedgerHead

DIFFERS = "close.differs"


def check_closes(messages: Sequence[Signed], own: Close, silo: int, roster: Roster) -> tuple[LedgerHead, ...]:
    """Compare the published Closes of a round with our own; the heads of the others' ledgers, by roster index.

    Args:
        messages: the board at CLOSED.
        own: what we signed and sent.
        silo: our roster index; ours counts whether or not it is published.
        roster: the signed one.

    Raises:
        ProtocolError: `close.differs`: a silo signed another survivor list, chain or sum for the same context;
            `close.forged`: not a Close that its silo signed for this round; `close.too_few`: not t that agree.
    """
    heads: dict[int, LedgerHead] = {}
    for message in messages:
        index, close = _opened(message, roster)
        if index in heads or close.ctx != own.ctx or close.round_number != own.round_number:
            raise _forged()
        if (close.survivors_hash, close.chain, close.sum_mac) != (own.survivors_hash, own.chain, own.sum_mac):
            raise ProtocolError(
                f"silo {index} of the roster and this one opened different sums of round {own.round_number}; the study "
                "halts here until a person finds out which",
                code=DIFFERS,
            )
        heads[index] = LedgerHead(index, close.ledger_size, close.ledger_root)
    if len({silo, *heads}) < roster.threshold:
        raise ProtocolError(
            f"the aggregator calls round {own.round_number} closed without {roster.threshold} silos that say so",
            code="close.too_few",
        )
    return tuple(head for index, head in sorted(heads.items()) if index != silo)


def _opened(message: Signed, roster: Roster) -> tuple[int, Close]:
    try:
        index = roster.index(message.signer)
        return index, bodies.open_signed(message, Close, bytes.fromhex(roster.silos[index - 1].identity))
    except CollegiumError as error:
        raise _forged() from error


def _forged() -> ProtocolError:
    return ProtocolError("the aggregator shows a Close that no silo signed for this round", code="close.forged")

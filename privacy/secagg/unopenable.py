"""A round whose revealed shares do not open its sum: how it ends for every silo, or for none.

What `unmask.recover` finds depends on nothing but the ShareSet, the survivors and the UnmaskSet, so that silos which
are shown the same find the same. A silo signs either a Close or an Unopenable of a round, never both, and holds it
abandoned only on the same finding of t silos: a quorum that has an honest silo in common with every quorum of Closes.
docs/decisions has the argument. Nothing is decrypted for it, and no share leaves twice.
"""

from collections.abc import Sequence

from privacy.channel.envelope import Signed
from privacy.errors import CollegiumError, ProtocolError
from privacy.secagg.faults import SiloFault
from privacy.secagg.place import Place
from privacy.wire import bodies
from privacy.wire.messages import Unopenable
from privacy.wire.sets import unmask_set_digest

FINDINGS = ("share.inconsistent", "share.unsealable", "unmask.too_few")
"""What `unmask.recover` raises where the shares that were revealed do not open the sum."""


def found(place: Place, survivors_hash: bytes, messages: Sequence[Signed], error: ProtocolError) -> Unopenable:
    """What this silo says of a round that it cannot open.

    Args:
        place: this silo's.
        survivors_hash: H(S).
        messages: the published UnmaskSet.
        error: why not, of `FINDINGS`.
    """
    culprit = error.silo if isinstance(error, SiloFault) else 0
    unmask_set = unmask_set_digest(messages)
    return Unopenable(place.ctx, place.round_number, survivors_hash, unmask_set, culprit, error.code)


def check_abandonment(messages: Sequence[Signed], place: Place) -> Unopenable:
    """What t silos found alike of the round, so that it has ended without a sum.

    Raises:
        ProtocolError: `round.foreign_abandon`: fewer did.
    """
    roster = place.roster
    agreeing: dict[Unopenable, set[int]] = {}
    for message in messages:
        try:
            index = roster.index(message.signer)
            body = bodies.open_signed(message, Unopenable, bytes.fromhex(roster.silos[index - 1].identity))
        except CollegiumError as error:
            raise _unproven() from error
        if (body.ctx, body.round_number) == (place.ctx, place.round_number):
            agreeing.setdefault(body, set()).add(index)
    for body, silos in agreeing.items():
        if len(silos) >= roster.threshold:
            return body
    raise _unproven()


def _unproven() -> ProtocolError:
    return ProtocolError(
        "the aggregator abandoned a round whose shares were revealed, and t silos do not say that it cannot be opened",
        code="round.foreign_abandon",
    )

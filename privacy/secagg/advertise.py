"""M1: each silo advertises fresh public keys for the round and commits to its self mask.

The aggregator freezes who advertised (U1) and publishes the set. A silo that uses a key from it has checked that it is
on the roster, signed, of the same study, key, round and history, and that nobody's key stands twice: an aggregator
can withhold a silo but cannot replace its key. Signatures do not say that a key is new; that is the context's part.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.secagg.faults import SiloFault
from privacy.secagg.place import Place
from privacy.secagg.round_keys import RoundSecrets, b_commitment
from privacy.wire.messages import Advertise, LedgerHead
from privacy.wire.sets import advertise_set_digest


@dataclass(frozen=True)
class AdvertiseSet:
    """U1 with its checked messages, ascending by roster index; only `check` makes one."""

    digest: bytes
    advertised: tuple[Advertise, ...]

    @property
    def members(self) -> tuple[int, ...]:
        """Roster indices of U1."""
        return tuple(message.silo_index for message in self.advertised)

    def of(self, silo: int) -> Advertise:
        """What a silo of U1 advertised.

        Raises:
            KeyError: it is not in U1.
        """
        return {message.silo_index: message for message in self.advertised}[silo]


def build(place: Place, secret: RoundSecrets, heads: tuple[LedgerHead, ...] = ()) -> Advertise:
    """What this silo signs and sends; `secret` is durable before, and so is what `heads` of ledgers stand for."""
    return Advertise(
        place.ctx,
        place.round_number,
        place.silo,
        secret.key_c.public_key,
        secret.key_s.public_key,
        b_commitment(place.ctx, place.silo, secret.b),
        heads,
    )


def check(place: Place, messages: Sequence[Signed], own: Signed | None, revoked: Collection[int] = ()) -> AdvertiseSet:
    """Check a published AdvertiseSet.

    Args:
        place: this silo's.
        messages: as published, ascending by roster index.
        own: what this silo sent, or None if it takes no part. It need not be in the set: then it came too late.
        revoked: roster indices that the newest unexpired statement of the consortium revokes.

    Raises:
        CollegiumError: as `Place.open_set`.
        ProtocolError: `round.key_repeated`: a public key stands twice; `round.too_few`: fewer than t.
        SiloFault: `round.revoked`.
    """
    advertised = place.open_set(messages, Advertise, own)
    for message in advertised:
        if message.silo_index in revoked:
            raise SiloFault(
                "the aggregator admitted a silo whose certificate is revoked",
                code="round.revoked",
                silo=message.silo_index,
            )
    keys = [key for message in advertised for key in (message.pk_c, message.pk_s)]
    if len(set(keys)) != len(keys):
        raise ProtocolError("a public key stands twice in an advertise set", code="round.key_repeated")
    place.require_threshold(len(advertised))
    return AdvertiseSet(advertise_set_digest(messages), advertised)

"""M2: each silo gives every advertised silo a share of its b and k, and its seed of their pair mask.

The aggregator freezes who shared (U2) and shows the whole set to all, so that every silo holds the commitments of all
shares and the digest of the set enters every pair mask: silos that were shown different sets have masks that do
not cancel. A silo seals a box for itself too: it holds a share of its own secrets like any other. Only after
`check` and `receive` may a budget be reserved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from privacy.channel.envelope import Signed
from privacy.digest import integer, protocol_hash
from privacy.errors import ProtocolError
from privacy.secagg import shares
from privacy.secagg.advertise import AdvertiseSet
from privacy.secagg.faults import SiloFault
from privacy.secagg.held_shares import HeldShares
from privacy.secagg.hybrid import HybridKey, seal
from privacy.secagg.place import Place
from privacy.secagg.round_keys import RoundSecrets, pair_seed
from privacy.secagg.shares import SHARE_BYTES, Kind
from privacy.wire.messages import ShareBox, Shares
from privacy.wire.sets import share_set_digest


@dataclass(frozen=True)
class ShareSet:
    """U2 with its checked messages, ascending by roster index; only `check` makes one."""

    digest: bytes
    advertise_set: AdvertiseSet
    shared: tuple[Shares, ...]

    @property
    def members(self) -> tuple[int, ...]:
        """Roster indices of U2."""
        return tuple(message.silo_index for message in self.shared)

    def box(self, owner: int, holder: int) -> ShareBox:
        """What `owner` (of U2) sealed to `holder` (of U1).

        Raises:
            KeyError: there is none.
        """
        return self._boxes[owner, holder]

    def commitment(self, kind: Kind, owner: int, holder: int) -> bytes:
        """What `owner` committed to for the share of `holder`.

        Raises:
            KeyError: there is none.
        """
        box = self.box(owner, holder)
        return box.commit_b if kind is Kind.B else box.commit_k

    @cached_property
    def _boxes(self) -> dict[tuple[int, int], ShareBox]:
        return {(message.silo_index, box.receiver): box for message in self.shared for box in message.boxes}


@dataclass(frozen=True)
class Received:
    """What a silo found in the boxes sealed to it, checked."""

    held: HeldShares = field(repr=False)
    seeds: Mapping[int, bytes] = field(repr=False)
    """r_vu by v, of all of U2."""


def build(place: Place, secret: RoundSecrets, advertise_set: AdvertiseSet) -> Shares:
    """What this silo signs and sends, once: a second call makes other shares and is never sent.

    Raises:
        ProtocolError: `protocol.public_key`: an advertised key is not usable.
    """
    roster = place.roster
    split = {
        kind: shares.split(value, roster.threshold, len(roster.silos))
        for kind, value in ((Kind.B, secret.b), (Kind.K, secret.k))
    }
    boxes = []
    for advertised in advertise_set.advertised:
        holder = advertised.silo_index
        share_b, share_k = (split[kind][holder - 1] for kind in Kind)
        boxes.append(
            ShareBox(
                holder,
                seal(share_b + share_k, advertised.pk_c, box_info("share", place.ctx, place.silo, holder)),
                seal(
                    pair_seed(secret.k, place.ctx, holder),
                    advertised.pk_s,
                    box_info("pair", place.ctx, place.silo, holder),
                ),
                shares.commitment(place.ctx, Kind.B, place.silo, holder, share_b),
                shares.commitment(place.ctx, Kind.K, place.silo, holder, share_k),
            )
        )
    return Shares(place.ctx, place.round_number, place.silo, advertise_set.digest, tuple(boxes))


def check(place: Place, messages: Sequence[Signed], advertise_set: AdvertiseSet, own: Signed | None) -> ShareSet:
    """Check what everybody can see of a published ShareSet.

    Args:
        place: this silo's.
        messages: as published, ascending by roster index.
        advertise_set: the checked U1.
        own: what this silo sent, or None if it takes no part. It need not be in the set: then it came too late.

    Raises:
        CollegiumError: as `Place.open_set`.
        ProtocolError: `round.split_view`: another AdvertiseSet was shared for; `round.not_advertised`: U2 is not
            within U1; `round.too_few`: fewer than t.
        SiloFault: `share.boxes`: not one box for each of U1.
    """
    shared = place.open_set(messages, Shares, own)
    for message in shared:
        if message.silo_index not in advertise_set.members:
            raise ProtocolError(
                "the aggregator admitted shares of a silo that did not advertise", code="round.not_advertised"
            )
        if message.advertise_set != advertise_set.digest:
            raise ProtocolError(
                f"silo {message.silo_index} was shown other public keys than this silo; the round stops here, "
                "ask the consortium before going on",
                code="round.split_view",
            )
        if tuple(box.receiver for box in message.boxes) != advertise_set.members:
            raise SiloFault("a silo did not share with all", code="share.boxes", silo=message.silo_index)
    place.require_threshold(len(shared))
    return ShareSet(share_set_digest(messages), advertise_set, shared)


def receive(place: Place, share_set: ShareSet, secret: RoundSecrets) -> Received:
    """Open the boxes sealed to this silo and check the shares against their commitments.

    Raises:
        SiloFault: `share.unsealable` or `share.wrong`: names who sealed it.
        RuntimeError: this silo is not in U2.
    """
    if place.silo not in share_set.members:
        raise RuntimeError("a silo that is not in the share set takes no part in the round")
    held, seeds = {}, {}
    for owner in share_set.members:
        box = share_set.box(owner, place.silo)
        both = _open(secret.key_c, box.box_c, "share", place.ctx, owner, place.silo)
        share_b, share_k = both[:SHARE_BYTES], both[SHARE_BYTES:]
        for kind, share, committed in ((Kind.B, share_b, box.commit_b), (Kind.K, share_k, box.commit_k)):
            shares.check(committed, place.ctx, kind, owner, place.silo, share, sender=owner)
        held[owner] = (share_b, share_k)
        seeds[owner] = open_seed(secret.key_s, box.box_s, place.ctx, owner, place.silo)
    return Received(HeldShares(held), seeds)


def open_seed(key: HybridKey, box_s: bytes, ctx: bytes, owner: int, receiver: int) -> bytes:
    """The seed that `owner` sealed to `receiver`, whose key it is (or was recovered).

    Raises:
        SiloFault: `share.unsealable`.
    """
    return _open(key, box_s, "pair", ctx, owner, receiver)


def box_info(label: str, ctx: bytes, owner: int, receiver: int) -> bytes:
    """The HPKE `info` of a box: H(label, ctx, u, v), 32 bytes."""
    return protocol_hash(label, ctx, integer(owner), integer(receiver))


def _open(key: HybridKey, box: bytes, label: str, ctx: bytes, owner: int, receiver: int) -> bytes:
    try:
        return key.open(box, box_info(label, ctx, owner, receiver))
    except ProtocolError as error:
        raise SiloFault("a sealed box cannot be opened", code="share.unsealable", silo=owner) from error

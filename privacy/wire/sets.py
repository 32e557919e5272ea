"""The frozen sets of signed messages that the aggregator publishes, and the digests that name them.

A set is the tuple of its members' signed messages, ascending by roster index. Its digest is over the bytes that
were signed, as they came: both sides compute it from what they hold, and nothing is encoded again. A digest says
which set it is, not that the set is in order; silos check that (`privacy.secagg.advertise`, `share_set`).
"""

from collections.abc import Sequence

from privacy.channel.envelope import Signed
from privacy.digest import protocol_hash


def key_request_digest(body: bytes) -> bytes:
    """H(KeyRequest): digest of the signed bytes of a request, 32 bytes."""
    return protocol_hash("key-request", body)


def advertise_set_digest(messages: Sequence[Signed]) -> bytes:
    """H(AdvertiseSet) of U1's signed `Advertise` messages in roster order, 32 bytes."""
    return protocol_hash("advertise-set", *(message.body for message in messages))


def share_set_digest(messages: Sequence[Signed]) -> bytes:
    """H(ShareSet) of U2's signed `Shares` messages in roster order, 32 bytes."""
    return protocol_hash("share-set", *(message.body for message in messages))


def held_digest(messages: Sequence[Signed]) -> bytes:
    """Digest of the first messages of a set, of which a download that broke is to go on, 32 bytes."""
    return protocol_hash("held", *(message.body for message in messages))


def unmask_set_digest(messages: Sequence[Signed]) -> bytes:
    """H(UnmaskSet) of the published signed `Unmask` messages in roster order, 32 bytes."""
    return protocol_hash("unmask-set", *(message.body for message in messages))

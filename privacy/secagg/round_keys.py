"""The secrets a silo makes for one round, and every key that follows from them.

b makes the self mask, k the pair masks, c opens the shares that others send. All are fresh in each round, from the
operating system, and shared or used in this round only. Public keys are `kp(seed)` (`privacy.secagg.hybrid`).
For each pair, both sides contribute a seed r derived from their k, so that whoever recovers the k of a silo that
dropped out can derive what it sent and open what it was sent. Nothing here is stored or sent.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NoReturn

from privacy.digest import integer, protocol_hash
from privacy.secagg.derive import derive
from privacy.secagg.hybrid import SEED_BYTES, HybridKey
from privacy.secagg.masks import MaskKeys


@dataclass(frozen=True)
class RoundSecrets:
    """b, k and c of one silo in one round, 32 bytes each; hidden from `repr`, never pickled."""

    b: bytes = field(repr=False)
    k: bytes = field(repr=False)
    c: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if any(len(secret) != SEED_BYTES for secret in (self.b, self.k, self.c)):
            raise ValueError("a round's secrets have 32 bytes each")

    @classmethod
    def generate(cls) -> "RoundSecrets":
        """Fresh secrets from the operating system's randomness."""
        return cls(secrets.token_bytes(SEED_BYTES), secrets.token_bytes(SEED_BYTES), secrets.token_bytes(SEED_BYTES))

    @classmethod
    def from_bytes(cls, encoded: bytes) -> "RoundSecrets":
        """The secrets of `to_bytes`.

        Raises:
            ValueError: not 96 bytes.
        """
        if len(encoded) != 3 * SEED_BYTES:
            raise ValueError("a round's secrets have 96 bytes")
        return cls(*(encoded[at : at + SEED_BYTES] for at in range(0, len(encoded), SEED_BYTES)))

    def to_bytes(self) -> bytes:
        """b || k || c: secret, for memory-backed storage only."""
        return self.b + self.k + self.c

    @cached_property
    def key_c(self) -> HybridKey:
        """What opens the shares sent to this silo."""
        return HybridKey(self.c)

    @cached_property
    def key_s(self) -> HybridKey:
        """What opens the pair seeds sent to this silo."""
        return HybridKey(self.k)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a round's secrets are never pickled")


def b_commitment(ctx: bytes, silo: int, b: bytes) -> bytes:
    """H("b", ctx, u, b), 32 bytes."""
    return protocol_hash("b", ctx, integer(silo), b)


def self_key(b: bytes, ctx: bytes, silo: int) -> bytes:
    """The key of silo u's self mask: HKDF(b, ctx, "self" || u)."""
    return derive(b, ctx, "self", silo)


def pair_seed(k: bytes, ctx: bytes, receiver: int) -> bytes:
    """r_uv, what silo u (whose `k` it is) contributes to the pair mask with `receiver` v: HKDF(k_u, ctx, "r" || v)."""
    return derive(k, ctx, "r", receiver)


def pair_key(share_set: bytes, silo: int, peer: int, sent: bytes, received: bytes) -> bytes:
    """s_uv, the key of the pair mask, the same from either side.

    HKDF(r_lo>hi || r_hi>lo, salt H(ShareSet), "mask", lo, hi): another share set gives other masks.

    Args:
        share_set: H(ShareSet).
        silo: u.
        peer: v.
        sent: r_uv.
        received: r_vu.
    """
    seeds = sent + received if silo < peer else received + sent
    return derive(seeds, share_set, "mask", min(silo, peer), max(silo, peer))


def upload_keys(
    secret: RoundSecrets, ctx: bytes, share_set: bytes, silo: int, received: Mapping[int, bytes]
) -> MaskKeys:
    """The masks of silo u's upload: its self mask, plus those with later silos, minus those with earlier ones.

    Args:
        secret: u's own secrets.
        ctx: the round's context.
        share_set: H(ShareSet).
        silo: u.
        received: r_vu by v, of all of U2; an entry of u itself is not used.
    """
    keys = {
        peer: pair_key(share_set, silo, peer, pair_seed(secret.k, ctx, peer), seed)
        for peer, seed in sorted(received.items())
        if peer != silo
    }
    later = tuple(key for peer, key in keys.items() if peer > silo)
    earlier = tuple(key for peer, key in keys.items() if peer < silo)
    return MaskKeys((self_key(secret.b, ctx, silo), *later), earlier)

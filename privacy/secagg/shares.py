"""Shares of a round's secrets: any t silos recover one, fewer learn nothing, and a wrong share names its sender.

Shamir's scheme over GF(2^128) (pycryptodome) on the two 16-byte halves of a secret, the share of the silo with roster
index x at x. Its owner publishes a commitment `H("sh", ctx, kind, owner, holder, share)` to every share with M2; a
share is 32 uniform bytes, so that the commitment shows nothing. Holders compare when they receive and everybody
compares when it is revealed: a share that was altered, cut or taken from elsewhere is its sender's, provably.
"""

import hmac
from collections.abc import Mapping
from enum import StrEnum

# Bandit takes the name for the abandoned PyCrypto; this is pycryptodome.
from Crypto.Protocol.SecretSharing import Shamir  # nosec B413

from privacy.digest import integer, protocol_hash
from privacy.secagg.faults import SiloFault

SECRET_BYTES = SHARE_BYTES = 32
HALF = 16


class Kind(StrEnum):
    """Whose share it is of: the self mask's secret or the pair masks'."""

    B = "b"
    K = "k"


def split(secret: bytes, threshold: int, silos: int) -> tuple[bytes, ...]:
    """Shares for roster indices 1 to `silos`, 32 bytes each, any `threshold` of which give the secret.

    Raises:
        ValueError: not 32 bytes, or a threshold outside 2..silos.
    """
    if len(secret) != SECRET_BYTES or not 2 <= threshold <= silos:
        raise ValueError("a secret of 32 bytes is shared among at least as many silos as recover it, and these are two")
    halves = [dict(Shamir.split(threshold, silos, secret[at : at + HALF])) for at in (0, HALF)]
    return tuple(b"".join(half[index] for half in halves) for index in range(1, silos + 1))


def combine(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """The secret of shares by roster index, from the `threshold` of them with the lowest indices.

    What comes out of wrong shares is a wrong secret: compare each with its commitment first, and the secret after.

    Raises:
        ValueError: fewer shares than the threshold, or one that has not 32 bytes.
    """
    chosen = sorted(shares.items())[:threshold]
    if len(chosen) < threshold or any(len(share) != SHARE_BYTES for _, share in chosen):
        raise ValueError(f"{threshold} shares of 32 bytes are needed")
    halves = (Shamir.combine([(index, share[at : at + HALF]) for index, share in chosen]) for at in (0, HALF))
    return b"".join(halves)


def commitment(ctx: bytes, kind: Kind, owner: int, holder: int, share: bytes) -> bytes:
    """H("sh", ctx, kind, owner, holder, share), 32 bytes."""
    return protocol_hash("sh", ctx, kind.value.encode("ascii"), integer(owner), integer(holder), share)


def check(committed: bytes, ctx: bytes, kind: Kind, owner: int, holder: int, share: bytes, sender: int) -> None:
    """Check that a share is the one its owner committed to: not altered, cut, or taken from another place.

    Raises:
        SiloFault: `share.wrong`, of `sender`: the owner who sealed it, or the holder who revealed it.
    """
    if not hmac.compare_digest(committed, commitment(ctx, kind, owner, holder, share)):
        raise SiloFault("a share is not the one its owner committed to", code="share.wrong", silo=sender)

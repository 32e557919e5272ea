"""The chain of rounds: one 32-byte value that all silos share only if they share the whole history.

`chain_0 = H(study, initial model)`, `chain_r = H("chain", chain_{r-1}, outcome, H(S) or "")`. It is bound into every
context, so silos that were told different histories refuse each other's next message.
"""

from enum import StrEnum

from privacy.digest import protocol_hash

DIGEST_BYTES = 32


class Outcome(StrEnum):
    """How a round ended."""

    CLOSED = "closed"
    ABANDONED = "abandoned"


def first(study_digest: bytes, model_digest: bytes) -> bytes:
    """The chain before round 1, of the study and the initial model.

    Raises:
        ValueError: a digest does not have 32 bytes.
    """
    _check(study_digest, model_digest)
    return protocol_hash("chain-0", study_digest, model_digest)


def following(previous: bytes, outcome: Outcome, survivors_hash: bytes) -> bytes:
    """The chain after a round; `survivors_hash` is H(S), or empty for a round that was abandoned.

    Raises:
        ValueError: a digest does not have 32 bytes, or hash and outcome contradict each other.
    """
    _check(previous)
    if outcome is Outcome.CLOSED:
        _check(survivors_hash)
    elif survivors_hash:
        raise ValueError("an abandoned round has no survivors")
    return protocol_hash("chain", previous, outcome.value.encode("ascii"), survivors_hash)


def _check(*digests: bytes) -> None:
    if any(len(digest) != DIGEST_BYTES for digest in digests):
        raise ValueError("a digest has 32 bytes")

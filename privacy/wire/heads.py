"""The messages by which a silo asks, on start, what the witnesses know of its ledger; valid by construction.

As `privacy.wire.messages`, of which these are a part. Whether the silos' messages within are genuine is for who asked.
"""

from dataclasses import dataclass

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire.limits import MAX_SILOS, check_digest, check_number


@dataclass(frozen=True)
class HeadQuery:
    """A silo wants to know how far the others saw its ledger; the nonce (32 random bytes) makes the answer fresh."""

    study_digest: bytes
    nonce: bytes

    def __post_init__(self) -> None:
        check_digest(self.study_digest, "study digest")
        check_digest(self.nonce, "nonce")


@dataclass(frozen=True)
class HeadAnswer:
    """What the aggregator signs: the newest that it holds of silo `silo_index`, and each other silo's newest Close."""

    study_digest: bytes
    nonce: bytes
    silo_index: int
    close: Signed | None
    advertise: Signed | None
    others: tuple[Signed, ...]

    def __post_init__(self) -> None:
        check_digest(self.study_digest, "study digest")
        check_digest(self.nonce, "nonce")
        check_number(self.silo_index, 1, MAX_SILOS, "a silo index")
        if len(self.others) >= MAX_SILOS:
            raise ProtocolError("an answer about a ledger names too many silos", code="protocol.malformed")

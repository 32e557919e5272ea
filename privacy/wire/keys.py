"""M0, the messages of a key epoch, as frozen values: who asks for the group's key, and what holders answer.

As in `messages`, constructors refuse what no honest party sends. The key itself travels sealed.
"""

from dataclasses import dataclass

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire.limits import (
    KEM_PUBLIC_BYTES,
    MAX_SILOS,
    check_digest,
    check_number,
)


@dataclass(frozen=True)
class KeyRequest:
    """M0: a silo's one-time HPKE public key (ML-KEM-768 then X25519, raw)."""

    study_digest: bytes
    epoch: int
    silo_index: int
    public_key: bytes

    def __post_init__(self) -> None:
        check_digest(self.study_digest, "study digest")
        check_number(self.silo_index, 1, MAX_SILOS, "a silo index")
        if len(self.public_key) != KEM_PUBLIC_BYTES:
            raise ProtocolError("a key request has a malformed public key", code="protocol.malformed")


@dataclass(frozen=True)
class KeyAnnounce:
    """M0: what the steward signs: which key this epoch has."""

    study_digest: bytes
    epoch: int
    roster_digest: bytes
    key_id: bytes

    def __post_init__(self) -> None:
        check_digest(self.study_digest, "study digest")
        check_digest(self.roster_digest, "roster digest")
        check_digest(self.key_id, "key id")


@dataclass(frozen=True)
class KeyGrant:
    """M0: the CKKS key and the group secret, sealed to one receiver's one-time key."""

    announce: Signed
    giver: int
    receiver: int
    request_hash: bytes
    enc: bytes

    def __post_init__(self) -> None:
        check_number(self.giver, 1, MAX_SILOS, "a silo index")
        check_number(self.receiver, 1, MAX_SILOS, "a silo index")
        check_digest(self.request_hash, "request digest")

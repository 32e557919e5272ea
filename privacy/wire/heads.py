"""The messages about heads of ledgers, valid by construction: what a silo asks on start, and exchanges in each round.

As `privacy.wire.messages`, of which these are a part. Whether the messages, notes and statements within are genuine is
for who gets them. A party is a roster index; 0 is the aggregator.
"""

from collections.abc import Sized
from dataclasses import dataclass

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire.limits import MAX_SILOS, check_digest, check_number

MAX_NOTE_BYTES = 1024
MAX_COSIGNED_BYTES = 8192
MAX_STATEMENT_BYTES = 4096
MAX_PROOF_NODES = 64
MAX_LEDGER = 2**63 - 1


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
    """What the aggregator signs: the newest that it holds of silo `silo_index`, and each other silo's newest Close.

    `announce` is the KeyAnnounce under which the epoch's key was handed on: a steward that lost it makes no other.
    """

    study_digest: bytes
    nonce: bytes
    silo_index: int
    close: Signed | None
    advertise: Signed | None
    others: tuple[Signed, ...]
    cosigned: "tuple[CosignedHead, ...]" = ()
    announce: Signed | None = None

    def __post_init__(self) -> None:
        check_digest(self.study_digest, "study digest")
        check_digest(self.nonce, "nonce")
        check_number(self.silo_index, 1, MAX_SILOS, "a silo index")
        _at_most(self.others, MAX_SILOS - 1)
        _each_once(tuple(head.party for head in self.cosigned))


@dataclass(frozen=True)
class ConsistencyProof:
    """That a head extends the one of `size` entries: nodes of 32 bytes, RFC 9162 section 2.1.4."""

    size: int
    nodes: tuple[bytes, ...]

    def __post_init__(self) -> None:
        check_number(self.size, 1, MAX_LEDGER, "the size of a ledger")
        _at_most(self.nodes, MAX_PROOF_NODES)
        for node in self.nodes:
            check_digest(node, "node of a proof")


@dataclass(frozen=True)
class ShownHead:
    """The newest head of a party's ledger, and a proof from the one that the receiver holds, if there is one."""

    party: int
    note: str
    proof: ConsistencyProof | None

    def __post_init__(self) -> None:
        _party(self.party)
        _size(self.note, 1, MAX_NOTE_BYTES)


@dataclass(frozen=True)
class CosignedHead:
    """A head with the cosignatures of one witness.

    Given by a witness, `party` is whose ledger it is and `cosigner` is empty; shown to the owner, `party` is the
    witness and `cosigner` its statement.
    """

    party: int
    note: str
    cosigner: bytes = b""

    def __post_init__(self) -> None:
        _party(self.party)
        _size(self.note, 1, MAX_COSIGNED_BYTES)
        _size(self.cosigner, 0, MAX_STATEMENT_BYTES)


@dataclass(frozen=True)
class HeldHead:
    """How many entries the newest head of a party's ledger had that the sender cosigned."""

    party: int
    size: int

    def __post_init__(self) -> None:
        _party(self.party)
        check_number(self.size, 1, MAX_LEDGER, "the size of a ledger")


@dataclass(frozen=True)
class HeadsGiven:
    """What a silo gives: its statement, its own head with proofs (or an empty note), and others' heads, cosigned."""

    study_digest: bytes
    cosigner: bytes
    note: str
    proofs: tuple[ConsistencyProof, ...]
    cosigned: tuple[CosignedHead, ...]
    held: tuple[HeldHead, ...]

    def __post_init__(self) -> None:
        check_digest(self.study_digest, "study digest")
        _size(self.cosigner, 1, MAX_STATEMENT_BYTES)
        _size(self.note, 0, MAX_NOTE_BYTES)
        _at_most(self.proofs, MAX_SILOS + 1)
        _each_once(tuple(head.party for head in self.cosigned))
        _each_once(tuple(head.party for head in self.held))


@dataclass(frozen=True)
class HeadsShown:
    """What it is shown: others' heads to cosign, its own as others cosigned it, and the sizes to prove it from."""

    heads: tuple[ShownHead, ...]
    cosigned: tuple[CosignedHead, ...]
    wanted: tuple[int, ...]

    def __post_init__(self) -> None:
        _each_once(tuple(head.party for head in self.heads))
        _each_once(tuple(head.party for head in self.cosigned))
        _at_most(self.wanted, MAX_SILOS + 1)
        for size in self.wanted:
            check_number(size, 1, MAX_LEDGER, "the size of a ledger")


def _party(index: int) -> None:
    check_number(index, 0, MAX_SILOS, "a party")


def _size(value: str | bytes, least: int, most: int) -> None:
    data = value.encode() if isinstance(value, str) else value
    if not least <= len(data) <= most:
        raise ProtocolError("a message about a ledger is empty, or larger than its limit", code="protocol.malformed")


def _at_most(values: Sized, most: int) -> None:
    if len(values) > most:
        raise ProtocolError("a message about ledgers names too many", code="protocol.malformed")


def _each_once(parties: tuple[int, ...]) -> None:
    if len(set(parties)) != len(parties):
        raise ProtocolError("a message about ledgers names a party twice", code="protocol.malformed")

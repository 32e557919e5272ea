"""The messages of the protocol as frozen values, valid by construction.

Constructors refuse what no honest party sends (wrong lengths, indices out of range, lists that do
not match), with `ProtocolError`; whether a message is the right one at the right time is for the
state machines. How they are encoded is for `privacy.wire.bodies` and `privacy.wire.convert`. There is no field for
a secret.
"""

from dataclasses import dataclass, field

from privacy.errors import ProtocolError
from privacy.wire.limits import (
    BOX_C_BYTES,
    BOX_S_BYTES,
    KEM_PUBLIC_BYTES,
    MAX_HEADS,
    MAX_ROUNDS,
    MAX_SILOS,
    MAX_TAG_BYTES,
    SEAL_TAG_BYTES,
    SHARE_BYTES,
    check_code,
    check_digest,
    check_frames,
    check_length,
    check_number,
    check_place,
)


@dataclass(frozen=True)
class LedgerHead:
    """Entries in a silo's ledger and the Merkle root over them (32 bytes), as the silo signed them."""

    silo: int
    size: int
    root: bytes

    def __post_init__(self) -> None:
        check_number(self.silo, 1, MAX_SILOS, "a silo index")
        check_digest(self.root, "ledger root")

    def continues(self, earlier: "LedgerHead") -> bool:
        """Whether a ledger that only grows can have both heads, the earlier one first."""
        return self.size > earlier.size or (self.size, self.root) == (earlier.size, earlier.root)


@dataclass(frozen=True)
class Advertise:
    """M1: a silo's fresh public keys of a round, for shares (`pk_c`) and for pair seeds (`pk_s`).

    `heads` are its own ledger's and those of other silos' that they may not have answered, ascending.
    """

    ctx: bytes
    round_number: int
    silo_index: int
    pk_c: bytes
    pk_s: bytes
    b_commit: bytes
    heads: tuple[LedgerHead, ...] = ()

    def __post_init__(self) -> None:
        ordered = [(head.silo, head.size, head.root) for head in self.heads]
        if len(ordered) > MAX_HEADS * MAX_SILOS or ordered != sorted(set(ordered)):
            raise ProtocolError("heads of ledgers are unordered, repeated or too many", code="protocol.malformed")
        check_place(self.ctx, self.round_number, self.silo_index)
        check_length(self.pk_c, KEM_PUBLIC_BYTES, "public key")
        check_length(self.pk_s, KEM_PUBLIC_BYTES, "public key")
        check_digest(self.b_commit, "commitment")


@dataclass(frozen=True)
class ShareBox:
    """M2: what one silo seals to another (or to itself): shares of its b and k, and the pair's seed."""

    receiver: int
    box_c: bytes = field(repr=False)
    box_s: bytes = field(repr=False)
    commit_b: bytes
    commit_k: bytes

    def __post_init__(self) -> None:
        check_number(self.receiver, 1, MAX_SILOS, "a silo index")
        check_length(self.box_c, BOX_C_BYTES, "share box")
        check_length(self.box_s, BOX_S_BYTES, "seed box")
        check_digest(self.commit_b, "commitment")
        check_digest(self.commit_k, "commitment")


@dataclass(frozen=True)
class Shares:
    """M2: a silo's boxes for all advertised silos, ascending by receiver."""

    ctx: bytes
    round_number: int
    silo_index: int
    advertise_set: bytes
    boxes: tuple[ShareBox, ...]

    def __post_init__(self) -> None:
        check_place(self.ctx, self.round_number, self.silo_index)
        check_digest(self.advertise_set, "advertise set")
        receivers = [box.receiver for box in self.boxes]
        if not receivers or receivers != sorted(set(receivers)):
            raise ProtocolError("share boxes are missing, unordered or repeated", code="protocol.malformed")


@dataclass(frozen=True)
class UploadHeader:
    """M3: what a silo signs of its upload before any frame is taken."""

    ctx: bytes
    round_number: int
    silo_index: int
    frame_bytes: tuple[int, ...]
    frame_sha256: tuple[bytes, ...]
    seeds_sha256: bytes
    share_set: bytes = b""
    tag: bytes = b""

    def __post_init__(self) -> None:
        check_digest(self.ctx, "context")
        check_digest(self.seeds_sha256, "seeds digest")
        check_digest(self.share_set, "share set", may_be_empty=True)
        check_number(self.round_number, 1, MAX_ROUNDS, "a round number")
        check_number(self.silo_index, 1, MAX_SILOS, "a silo index")
        check_frames(self.frame_bytes, self.frame_sha256)
        check_number(len(self.tag), 0, MAX_TAG_BYTES, "a tag's length")


@dataclass(frozen=True)
class Survivors:
    """M4: whose uploads are in the sum (roster index and header hash, ascending) and its frames."""

    ctx: bytes
    round_number: int
    members: tuple[tuple[int, bytes], ...]
    sum_frame_bytes: tuple[int, ...]
    sum_frame_sha256: tuple[bytes, ...]
    share_set: bytes = b""

    def __post_init__(self) -> None:
        check_digest(self.ctx, "context")
        check_digest(self.share_set, "share set", may_be_empty=True)
        check_number(self.round_number, 1, MAX_ROUNDS, "a round number")
        check_frames(self.sum_frame_bytes, self.sum_frame_sha256)
        indices = [index for index, _ in self.members]
        if not indices or indices != sorted(set(indices)):
            raise ProtocolError("a survivor list is empty, unordered or repeats a silo", code="protocol.malformed")
        for index, header_hash in self.members:
            check_number(index, 1, MAX_SILOS, "a silo index")
            check_digest(header_hash, "header hash")


@dataclass(frozen=True)
class Sign:
    """M4: a silo accepts exactly these survivors; once a round, ever."""

    ctx: bytes
    round_number: int
    survivors_hash: bytes

    def __post_init__(self) -> None:
        check_digest(self.ctx, "context")
        check_digest(self.survivors_hash, "survivors hash")


@dataclass(frozen=True)
class Reject:
    """M4: a silo refuses the survivors or the sum, and halts the study until a person acts."""

    ctx: bytes
    round_number: int
    survivors_hash: bytes
    code: str

    def __post_init__(self) -> None:
        check_digest(self.ctx, "context")
        check_digest(self.survivors_hash, "survivors hash", may_be_empty=True)
        check_code(self.code)


@dataclass(frozen=True)
class Unmask:
    """M5: a silo's shares for exactly these survivors, sealed under a key that only silos have."""

    ctx: bytes
    round_number: int
    silo_index: int
    survivors_hash: bytes
    sealed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_place(self.ctx, self.round_number, self.silo_index)
        check_digest(self.survivors_hash, "survivors hash")
        check_number(len(self.sealed), SEAL_TAG_BYTES, MAX_SILOS * SHARE_BYTES + SEAL_TAG_BYTES, "a sealed length")


@dataclass(frozen=True)
class Close:
    """M6: a silo opened the sum; its view of the chain, MACs of the integers and of its next state, its ledger head.

    `witnessed` are the newest heads of the other silos' ledgers that it has seen, ascending by silo.
    """

    ctx: bytes
    round_number: int
    survivors_hash: bytes
    chain: bytes
    sum_mac: bytes
    state_mac: bytes
    ledger_size: int
    ledger_root: bytes
    witnessed: tuple[LedgerHead, ...] = ()

    def __post_init__(self) -> None:
        silos = [head.silo for head in self.witnessed]
        if silos != sorted(set(silos)):
            raise ProtocolError("witnessed heads are unordered or repeated", code="protocol.malformed")
        for value, name in (
            (self.ctx, "context"),
            (self.survivors_hash, "survivors hash"),
            (self.chain, "chain"),
            (self.sum_mac, "sum digest"),
            (self.state_mac, "state digest"),
            (self.ledger_root, "ledger root"),
        ):
            check_digest(value, name)


@dataclass(frozen=True)
class Unopenable:
    """M6: the UnmaskSet `unmask_set` does not open the sum of these survivors, and why; in the place of a Close.

    `culprit` is the roster index of the silo whose fault it is, 0 where none is named.
    """

    ctx: bytes
    round_number: int
    survivors_hash: bytes
    unmask_set: bytes
    culprit: int
    code: str

    def __post_init__(self) -> None:
        check_digest(self.ctx, "context")
        check_digest(self.survivors_hash, "survivors hash")
        check_digest(self.unmask_set, "unmask set")
        check_number(self.round_number, 1, MAX_ROUNDS, "a round number")
        check_number(self.culprit, 0, MAX_SILOS, "a silo index")
        check_code(self.code)


UNOPENABLE = "unopenable"
"""The reason of an Abandon that stands only with the same `Unopenable` of t silos."""


@dataclass(frozen=True)
class Abandon:
    """The aggregator ends a round without a sum; its number is consumed, budgets stay spent."""

    study_digest: bytes
    round_number: int
    reason: str

    def __post_init__(self) -> None:
        check_digest(self.study_digest, "study digest")
        if not 1 <= len(self.reason) <= 64:
            raise ProtocolError("an abandon has a malformed reason", code="protocol.malformed")

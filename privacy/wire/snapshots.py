"""The messages by which a silo that comes late is handed the state of a closed round, valid by construction.

As `privacy.wire.messages`, of which these are a part. There is no field for a model or its plain digest.
"""

from dataclasses import dataclass, field

from privacy.errors import ProtocolError
from privacy.wire.limits import MAX_FRAMES, MAX_ROUNDS, MAX_SILOS, check_digest, check_number

FRAME_BYTES = 2**20
"""A sealed frame, but for the last, has so many bytes, its tag among them."""
FRAME_TAG_BYTES = 16


@dataclass(frozen=True)
class SnapshotRequest:
    """A silo cannot go on from what it has and asks any holder for the state after a round not before `least_round`."""

    study_digest: bytes
    silo_index: int
    least_round: int

    def __post_init__(self) -> None:
        check_digest(self.study_digest, "study digest")
        check_number(self.silo_index, 1, MAX_SILOS, "a silo index")
        check_number(self.least_round, 1, MAX_ROUNDS, "a round number")


@dataclass(frozen=True)
class SnapshotOffer:
    """What a holder signs of the sealed state after round `round_number`, `size` bytes unsealed.

    `ctx` is that round's context and `chain` the chain after it; both and `state_mac` are those of the silos' Closes.
    """

    ctx: bytes
    round_number: int
    silo_index: int
    chain: bytes
    state_mac: bytes
    size: int
    frame_sha256: tuple[bytes, ...]

    def __post_init__(self) -> None:
        check_number(self.round_number, 1, MAX_ROUNDS, "a round number")
        check_number(self.silo_index, 1, MAX_SILOS, "a silo index")
        for value in (self.ctx, self.chain, self.state_mac, *self.frame_sha256):
            check_digest(value, "digest")
        check_number(self.size, 1, MAX_FRAMES * (FRAME_BYTES - FRAME_TAG_BYTES), "a size")
        if len(self.frame_sha256) != frame_count(self.size):
            raise ProtocolError("a snapshot lists its frames inconsistently", code="protocol.malformed")

    def frame_bytes(self, index: int) -> int:
        """How long frame `index` is, from 0."""
        whole = FRAME_BYTES - FRAME_TAG_BYTES
        return min(whole, self.size - index * whole) + FRAME_TAG_BYTES


@dataclass(frozen=True)
class SnapshotFrame:
    """One frame of the offer that stands for a round; all holders make the same frames."""

    study_digest: bytes
    round_number: int
    frame: int
    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_digest(self.study_digest, "study digest")
        check_number(self.round_number, 1, MAX_ROUNDS, "a round number")
        check_number(self.frame, 0, MAX_FRAMES - 1, "a frame number")
        check_number(len(self.data), 1 + FRAME_TAG_BYTES, FRAME_BYTES, "a frame size")


@dataclass(frozen=True)
class SnapshotDownload:
    """Which snapshot to download, named by its round, and from which frame on."""

    study_digest: bytes
    round_number: int
    first_frame: int = 0

    def __post_init__(self) -> None:
        check_digest(self.study_digest, "study digest")
        check_number(self.round_number, 1, MAX_ROUNDS, "a round number")
        check_number(self.first_frame, 0, MAX_FRAMES, "a frame number")


def frame_count(size: int) -> int:
    """How many frames seal a state of `size` bytes."""
    return -(-size // (FRAME_BYTES - FRAME_TAG_BYTES))

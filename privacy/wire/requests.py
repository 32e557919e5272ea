"""What is asked and told without a signature: the long poll, its board, and what is downloaded or arrives.

Frozen values, valid by construction as `privacy.wire.messages` are.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from privacy.channel.envelope import Signed
from privacy.wire.limits import MAX_FRAMES, MAX_ROUNDS, MAX_SILOS, check_digest, check_number


class Phase(IntEnum):
    """How far a round is; numbers are those of the wire."""

    KEYS_REQUESTED = 1
    KEYS_GRANTED = 2
    ADVERTISED = 3
    SHARED = 4
    UPLOADING = 5
    SURVIVORS = 6
    SIGNED = 7
    UNMASKED = 8
    CLOSED = 9
    ABANDONED = 10
    SNAPSHOT_REQUESTED = 11
    SNAPSHOT_OFFERED = 12


FROZEN = frozenset({Phase.ADVERTISED, Phase.SHARED, Phase.SURVIVORS, Phase.UNMASKED})
"""Phases whose messages stay as they are once the phase is reached, so that their download can go on where it broke."""


@dataclass(frozen=True)
class AwaitRequest:
    """Long poll: answer when the round has reached `phase` (or ended), or after the wait.

    One that is `attentive` is also answered when another silo waits for a key or a snapshot. `held`: so many messages
    of a frozen phase are there already, with this digest (`sets.held_digest`), and the answer need not repeat them.
    """

    study_digest: bytes
    round_number: int
    phase: Phase
    wait_milliseconds: int
    attentive: bool = False
    held: int = 0
    held_digest: bytes = b""

    def __post_init__(self) -> None:
        check_digest(self.study_digest, "study digest")
        check_number(self.round_number, 0, MAX_ROUNDS, "a round number")
        check_number(self.held, 0, MAX_SILOS + 1 if self.phase in FROZEN else 0, "a number of messages")
        check_digest(self.held_digest, "digest of messages", may_be_empty=not self.held)
        check_number(self.wait_milliseconds, 0, 60_000, "a waiting time")


@dataclass(frozen=True)
class Board:
    """What the aggregator has published of a round: its phase and the signed messages up to it.

    `wanted`: another silo waits for a key or a snapshot, which any holder may give; `frame`: what it lacks of it.
    `first`: so many messages come before these, and are held already.
    """

    reached: bool
    phase: Phase
    messages: tuple[Signed, ...] = ()
    seeds: tuple[bytes, ...] = field(default=(), repr=False)
    wanted: bool = False
    frame: int = 0
    roster_statement: Signed | None = None
    """The newest that the aggregator has, with the round keys; `privacy.channel.roster_statement` reads it."""
    first: int = 0

    def __post_init__(self) -> None:
        check_number(self.first, 0, MAX_SILOS + 1, "a number of messages")


@dataclass(frozen=True)
class Piece:
    """A piece of an upload, which is numbered: 0 is the seeds, i + 1 is frame i."""

    number: int
    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_number(self.number, 0, MAX_FRAMES, "a piece's number")


@dataclass(frozen=True)
class Arrived:
    """How many pieces of an upload are stored durably, from the first on; the stream goes on with the next."""

    pieces: int

    def __post_init__(self) -> None:
        check_number(self.pieces, 0, MAX_FRAMES + 1, "a number of pieces")


@dataclass(frozen=True)
class FrameRequest:
    """Which frame of a survivor's upload to download for the spot audit."""

    study_digest: bytes
    round_number: int
    silo_index: int
    frame: int

    def __post_init__(self) -> None:
        check_digest(self.study_digest, "study digest")
        check_number(self.round_number, 1, MAX_ROUNDS, "a round number")
        check_number(self.silo_index, 1, MAX_SILOS, "a silo index")
        check_number(self.frame, 0, MAX_FRAMES, "a frame number")


@dataclass(frozen=True)
class SumRequest:
    """Which sum to download, from which frame on."""

    study_digest: bytes
    round_number: int
    first_frame: int = 0

    def __post_init__(self) -> None:
        check_digest(self.study_digest, "study digest")
        check_number(self.first_frame, 0, MAX_FRAMES, "a frame number")
        check_number(self.round_number, 1, MAX_ROUNDS, "a round number")

"""What a round can be at the aggregator, and what each state shows. Pure values; `transitions` leads on from each.

    Advertising -> Sharing -> Uploading -> Folding -> Published -> Agreed -> Unmasked -> Closed
                        any of these but the last -> Abandoned

The first two are `setup`'s. A state holds the messages that led to it, in roster order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from aggregator.rounds.setup import Abandoned, Advertising, Messages, Setup, Sharing
from privacy.channel.envelope import Signed
from privacy.wire.messages import Close, Unopenable, UploadHeader
from privacy.wire.requests import Phase


@dataclass(frozen=True)
class Upload:
    """An upload's signed header, as it came and as it reads."""

    signed: Signed
    header: UploadHeader


@dataclass(frozen=True)
class Uploading:
    """Silos train and send their uploads since `at`, from which the deadline runs; what is `begun` may be complete."""

    setup: Setup
    at: float
    begun: Mapping[int, Upload] = field(default_factory=dict)
    uploads: Mapping[int, Upload] = field(default_factory=dict)


@dataclass(frozen=True)
class Folding:
    """The set of uploads is frozen; the sum is being made."""

    setup: Setup
    uploads: Mapping[int, Upload]


@dataclass(frozen=True)
class Published:
    """Survivors and sum are public since `at`; silos answer with Sign or Reject.

    A silo of whom an answer is awaited took something of the sum, or of its audit, last at `taken_at`.
    """

    setup: Setup
    uploads: Mapping[int, Upload]
    survivors: Signed
    survivors_hash: bytes
    at: float
    signs: Messages = field(default_factory=dict)
    rejects: Messages = field(default_factory=dict)
    taken_at: float = -inf


@dataclass(frozen=True)
class Agreed:
    """At least t silos signed the same survivors, since `at`; survivors reveal shares for exactly them."""

    published: Published
    at: float
    unmasks: Messages = field(default_factory=dict)


@dataclass(frozen=True)
class Unmasked:
    """The UnmaskSet is frozen and public; silos open the sum and report Close."""

    published: Published
    unmasks: Messages
    closes: Mapping[int, tuple[Signed, Close]] = field(default_factory=dict)
    unopenables: Mapping[int, Unopenable] = field(default_factory=dict)


@dataclass(frozen=True)
class Closed:
    """At least t silos reported the same chain and sum; the next round may open. Later Closes still count."""

    published: Published
    unmasks: Messages
    closes: Mapping[int, tuple[Signed, Close]]


State = Advertising | Sharing | Uploading | Folding | Published | Agreed | Unmasked | Closed | Abandoned
_PHASES: dict[type[object], Phase] = {
    Advertising: Phase.KEYS_GRANTED,
    Sharing: Phase.ADVERTISED,
    Uploading: Phase.UPLOADING,
    Folding: Phase.UPLOADING,
    Published: Phase.SURVIVORS,
    Agreed: Phase.SIGNED,
    Unmasked: Phase.UNMASKED,
    Closed: Phase.CLOSED,
    Abandoned: Phase.ABANDONED,
}


def phase(state: State) -> Phase:
    """How far the round is, as told on the wire."""
    return _PHASES[type(state)]


def shown(state: State) -> Published | None:
    """The survivors and their answers, once they are public."""
    if isinstance(state, Published):
        return state
    return state.published if isinstance(state, Agreed | Unmasked | Closed) else None


def board(state: State, wanted: Phase) -> tuple[Signed, ...]:
    """The signed messages that make up a phase which the round has reached, in roster order."""
    public = shown(state)
    setup = public.setup if public else state.setup if isinstance(state, Uploading | Folding) else None
    if wanted == Phase.ADVERTISED:
        frozen = state.advertised if isinstance(state, Sharing) else setup.advertised if setup else {}
        return tuple(frozen.values())
    if wanted == Phase.SHARED:
        return tuple(setup.shared.values()) if setup else ()
    if wanted == Phase.SURVIVORS and public:
        return (public.survivors, *(upload.signed for upload in public.uploads.values()))
    if wanted == Phase.SIGNED and public:
        return tuple(public.signs.values())
    if wanted == Phase.UNMASKED and isinstance(state, Unmasked | Closed):
        return tuple(state.unmasks.values())
    if wanted == Phase.CLOSED and isinstance(state, Closed):
        return tuple(message for message, _ in state.closes.values())
    return ()


def frozen_sets(state: State) -> dict[str, tuple[int, ...]]:
    """The sets that are frozen in this state, by name, as roster indices; stored before they are shown."""
    public = shown(state)
    setup = public.setup if public else state.setup if isinstance(state, Uploading | Folding) else None
    sets = {"advertised": tuple(state.advertised)} if isinstance(state, Sharing) else {}
    if setup:
        sets = {"advertised": tuple(setup.advertised), "shared": tuple(setup.shared)}
    if isinstance(state, Unmasked | Closed):
        sets["unmasked"] = tuple(state.unmasks)
    return sets

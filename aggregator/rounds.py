"""The life of a round at the aggregator, as a pure state machine: no I/O, time is an argument (`aggregator.deadlines`).

    Advertising -> Sharing -> Uploading -> Folding -> Published -> Agreed -> Unmasked -> Closed
                        any of these but the last -> Abandoned

Sets are frozen when everybody is in, or past a time with at least t; below t the round is abandoned.
Rules kept here: the first header of a (ctx, silo) is final; a frozen set is never frozen again; a
silo's first answer to the survivors is final; Unmask and Close are counted only for the published
survivors; once an UnmaskSet exists a round is abandoned only when t silos found alike that it cannot be
opened, as its sum may have been, or went on past it (`aggregator.course`). The caller stores each message, and
each frozen set, durably before it hands in or shows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from aggregator.setup import Abandoned, Advertising, Messages, Rules, Setup, Sharing
from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire.messages import UNOPENABLE, Close, Reject, Sign, Unmask, Unopenable, UploadHeader
from privacy.wire.requests import Phase
from privacy.wire.sets import share_set_digest, unmask_set_digest

EARLY = "close.early"
"""The refusal of a Close of a round that nobody here can have opened."""
REJECTED = "rejected"
"""The reason of an abandonment because silos refused the survivors or the sum; each of them then waits for a person."""


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
    """Survivors and sum are public since `at`; silos answer with Sign or Reject."""

    setup: Setup
    uploads: Mapping[int, Upload]
    survivors: Signed
    survivors_hash: bytes
    at: float
    signs: Messages = field(default_factory=dict)
    rejects: Messages = field(default_factory=dict)


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


def check_header(state: State, upload: Upload) -> Uploading:
    """Refuse a header before any of its frames is taken; the first of a silo is final.

    Raises:
        ProtocolError: too early or late, a repeat, not of U2, or another context or header than before.
    """
    if isinstance(state, Advertising | Sharing):
        raise ProtocolError("this round does not take uploads yet", code="upload.early")
    if not isinstance(state, Uploading):
        raise ProtocolError("this round takes no more uploads; wait for the next", code="upload.late")
    header = upload.header
    if header.silo_index not in state.setup.shared:
        raise ProtocolError("this silo shared no keys for the round", code="upload.not_member")
    if header.silo_index in state.uploads:
        raise ProtocolError("this silo's upload of the round is already final", code="upload.repeated")
    if state.begun.get(header.silo_index, upload) != upload:
        raise ProtocolError("this silo began another upload for the round, which is final", code="upload.other_header")
    if header.share_set != share_set_digest(tuple(state.setup.shared.values())):
        raise ProtocolError("this upload is masked for another share set", code="round.split_view")
    if any(other.header.ctx != header.ctx for other in state.begun.values()):
        raise ProtocolError("silos disagree on the context of the round", code="round.split_view")
    return state


def begun(state: State, upload: Upload) -> Uploading:
    """The header of an upload was stored: its frames are taken from now on, and no other header of its silo.

    Raises:
        ProtocolError: as `check_header`.
    """
    state = check_header(state, upload)
    return replace(state, begun={**state.begun, upload.header.silo_index: upload})


def uploaded(state: State, upload: Upload) -> Uploading | Folding:
    """A complete upload was stored. Freezes the set when all of U2 are in.

    Raises:
        ProtocolError: as `check_header`.
    """
    state = begun(state, upload)
    uploads = dict(sorted({**state.uploads, upload.header.silo_index: upload}.items()))
    if len(uploads) == len(state.setup.shared):
        return Folding(state.setup, uploads)
    return replace(state, uploads=uploads)


def opened(setup: Setup, now: float) -> Uploading:
    """U2 is frozen: uploads are taken from now on."""
    return Uploading(setup, now)


def published(state: State, survivors: Signed, survivors_hash: bytes, now: float) -> State:
    """The sum and the signed survivors are stored."""
    if not isinstance(state, Folding):
        raise RuntimeError("only a frozen set is published, once")
    return Published(state.setup, state.uploads, survivors, survivors_hash, now)


def signed(state: State, index: int, message: Signed, sign: Sign, rules: Rules, now: float) -> State:
    """A silo accepted the survivors; one that comes late, after t others agreed, still counts.

    Raises:
        ProtocolError: not published yet, other survivors, a silo that is not among them, or a second answer.
    """
    public = _answerable(state, index, sign.survivors_hash)
    if index in public.rejects or public.signs.get(index, message) != message:
        raise ProtocolError("this silo already answered for the round", code="survivors.answered")
    public = replace(public, signs=dict(sorted({**public.signs, index: message}.items())))
    if isinstance(state, Agreed | Unmasked | Closed):
        return replace(state, published=public)
    return Agreed(public, now) if len(public.signs) >= rules.threshold else public


def rejected(state: State, index: int, message: Signed, reject: Reject, rules: Rules) -> State:
    """A silo refused the survivors; when t can no longer sign, the round is abandoned.

    Raises:
        ProtocolError: as for `signed`.
    """
    if not isinstance(state, Published):
        raise ProtocolError("this refusal is not for the published survivors", code="survivors.unknown")
    _answerable(state, index, reject.survivors_hash)
    if index in state.signs or state.rejects.get(index, message) != message:
        raise ProtocolError("this silo already answered for the round", code="survivors.answered")
    state = replace(state, rejects={**state.rejects, index: message})
    if len(state.uploads) - len(state.rejects) < rules.threshold:
        return Abandoned(REJECTED)
    return state


def unmasked(state: State, index: int, message: Signed, unmask: Unmask) -> State:
    """A survivor revealed its shares. The set is frozen when all survivors' are in.

    Raises:
        ProtocolError: nobody asked, other survivors, or another message than before.
    """
    if not isinstance(state, Agreed):
        raise ProtocolError("this round takes no shares now", code="unmask.unexpected")
    _answerable(state, index, unmask.survivors_hash)
    if state.unmasks.get(index, message) != message:
        raise ProtocolError("this silo already revealed its shares for the round", code="unmask.repeated")
    unmasks = dict(sorted({**state.unmasks, index: message}.items()))
    if len(unmasks) == len(state.published.uploads):
        return Unmasked(state.published, unmasks)
    return replace(state, unmasks=unmasks)


def closed(state: State, index: int, message: Signed, close: Close, rules: Rules) -> State:
    """A silo opened the sum and applied it; one whose upload is not in the sum does so too.

    Raises:
        ProtocolError: not unmasked yet, other survivors, or a chain or sum that differs from the others'.
    """
    if not isinstance(state, Unmasked | Closed):
        raise ProtocolError("this round cannot have been opened yet", code=EARLY)
    _shown_as(state, close.survivors_hash)
    if isinstance(state, Unmasked) and index in state.unopenables:
        raise ProtocolError("this silo said that it cannot open the round", code="close.contradicted")
    for _, other in state.closes.values():
        if (other.chain, other.sum_mac) != (close.chain, close.sum_mac):
            raise ProtocolError(
                "silos opened different sums of this round; the study stops until a person looks",
                code="close.differs",
            )
    closes = dict(sorted({**state.closes, index: (message, close)}.items()))
    if isinstance(state, Unmasked) and len(closes) < rules.threshold:
        return replace(state, closes=closes)
    return Closed(state.published, state.unmasks, closes)


def unopenable(state: State, index: int, body: Unopenable, rules: Rules) -> State:
    """A silo cannot open the sum with the shares that were revealed; when t found the same, the round is abandoned.

    Raises:
        ProtocolError: no shares are revealed or the round has ended, other survivors or shares, or a second answer.
    """
    if not isinstance(state, Unmasked):
        raise ProtocolError("this round is not one to be opened now", code="unopenable.unexpected")
    _shown_as(state, body.survivors_hash)
    if body.unmask_set != unmask_set_digest(tuple(state.unmasks.values())):
        raise ProtocolError("this finding is of shares that were not published", code="unopenable.other_shares")
    if index in state.closes or state.unopenables.get(index, body) != body:
        raise ProtocolError("this silo already said how the round ended", code="unopenable.contradicted")
    found = {**state.unopenables, index: body}
    if list(found.values()).count(body) >= rules.threshold:
        return Abandoned(UNOPENABLE)
    return replace(state, unopenables=found)


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


def _shown_as(state: State, survivors_hash: bytes) -> Published:
    public = shown(state)
    if public is None or survivors_hash != public.survivors_hash:
        raise ProtocolError("this message is not for the published survivors", code="survivors.unknown")
    return public


def _answerable(state: State, index: int, survivors_hash: bytes) -> Published:
    public = _shown_as(state, survivors_hash)
    if index not in public.uploads:
        raise ProtocolError("this silo is not among the survivors of the round", code="survivors.not_member")
    return public

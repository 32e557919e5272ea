"""The life of a round at the aggregator, as a pure state machine: no I/O, time is an argument.

    Uploading --all silos, or deadline with >= t--> Folding --sum stored--> Published
        |                                                                      |  >= t Sign of H(S)
        '--deadline with < t--> Abandoned <--too many Reject, or deadline----- | --> Agreed
                                                                      >= t Close '--> Closed

Rules kept here: the first header of a (ctx, silo) is final; a frozen set is never frozen again; a
silo's first answer to the survivors is final; Close is counted only for the published survivors; once
t silos have agreed a round is never abandoned, as they may have opened its sum. The
caller stores each message durably before it hands it in. The masks' states (Advertised, Shared,
Unmasked) belong between these and come with M1, M2 and M5.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire.messages import Close, Phase, Reject, Sign, UploadHeader


@dataclass(frozen=True)
class Upload:
    """A complete, stored upload: the signed header as it came and as it reads."""

    signed: Signed
    header: UploadHeader


@dataclass(frozen=True)
class Uploading:
    """Headers are taken; the deadline runs from the first, or from the first silo that waits for the sum."""

    uploads: Mapping[int, Upload] = field(default_factory=dict)
    first_at: float | None = None


@dataclass(frozen=True)
class Folding:
    """The set of uploads is frozen; the sum is being made."""

    uploads: Mapping[int, Upload]


@dataclass(frozen=True)
class Published:
    """Survivors and sum are public since `at`; silos answer with Sign or Reject."""

    uploads: Mapping[int, Upload]
    survivors: Signed
    survivors_hash: bytes
    at: float
    signs: Mapping[int, Signed] = field(default_factory=dict)
    rejects: Mapping[int, Signed] = field(default_factory=dict)


@dataclass(frozen=True)
class Agreed:
    """At least t silos signed the same survivors; they open the sum and report Close."""

    published: Published
    closes: Mapping[int, tuple[Signed, Close]] = field(default_factory=dict)


@dataclass(frozen=True)
class Closed:
    """At least t silos reported the same chain; the next round may open. Later Closes still count."""

    published: Published
    closes: Mapping[int, tuple[Signed, Close]]


@dataclass(frozen=True)
class Abandoned:
    """The round ended without a sum; its number is consumed and budgets stay spent."""

    reason: str


State = Uploading | Folding | Published | Agreed | Closed | Abandoned


@dataclass(frozen=True)
class Rules:
    """What of the signed study the round depends on: roster size, threshold, deadline (seconds)."""

    silos: int
    threshold: int
    deadline: float


def phase(state: State) -> Phase:
    """How far the round is, as told on the wire."""
    if isinstance(state, Uploading | Folding):
        return Phase.UPLOADING
    if isinstance(state, Published):
        return Phase.SURVIVORS
    if isinstance(state, Agreed):
        return Phase.SIGNED
    return Phase.CLOSED if isinstance(state, Closed) else Phase.ABANDONED


def check_header(state: State, header: UploadHeader) -> None:
    """Refuse a header before any of its frames is taken.

    Raises:
        ProtocolError: too late, a repeat, another context or another shape than the others'.
    """
    if not isinstance(state, Uploading):
        raise ProtocolError("this round takes no more uploads; wait for the next", code="upload.late")
    if header.silo_index in state.uploads:
        raise ProtocolError("this silo's upload of the round is already final", code="upload.repeated")
    for other in state.uploads.values():
        if other.header.ctx != header.ctx:
            raise ProtocolError("silos disagree on the context of the round", code="protocol.split_view")
        if (other.header.frame_bytes, other.header.share_set) != (header.frame_bytes, header.share_set):
            raise ProtocolError("this upload has another shape than the others'", code="upload.shape")


def uploaded(state: State, upload: Upload, rules: Rules, now: float) -> State:
    """A complete upload was stored. Freezes the set when all silos are in.

    Raises:
        ProtocolError: as `check_header`.
    """
    check_header(state, upload.header)
    if not isinstance(state, Uploading):
        raise RuntimeError("check_header lets only Uploading pass")
    uploads = {**state.uploads, upload.header.silo_index: upload}
    if len(uploads) == rules.silos:
        return Folding(dict(sorted(uploads.items())))
    return Uploading(uploads, now if state.first_at is None else state.first_at)


def awaited(state: State, now: float) -> State:
    """A silo waits for the sum: the deadline runs, even if every silo lost its upload and none will come."""
    if isinstance(state, Uploading) and state.first_at is None:
        return replace(state, first_at=now)
    return state


def tick(state: State, rules: Rules, now: float) -> State:
    """Time passed: past the deadline the set freezes, or a round with less than t uploads or Signs is abandoned."""
    if isinstance(state, Published) and now >= state.at + rules.deadline:
        return Abandoned("too_few_signatures")
    if not isinstance(state, Uploading) or state.first_at is None or now < state.first_at + rules.deadline:
        return state
    if len(state.uploads) >= rules.threshold:
        return Folding(dict(sorted(state.uploads.items())))
    return Abandoned("too_few_uploads")


def published(state: State, survivors: Signed, survivors_hash: bytes, now: float) -> State:
    """The sum and the signed survivors are stored."""
    if not isinstance(state, Folding):
        raise RuntimeError("only a frozen set is published, once")
    return Published(state.uploads, survivors, survivors_hash, now)


def signed(state: State, index: int, message: Signed, sign: Sign, rules: Rules) -> State:
    """A silo accepted the survivors; one that comes late, after t others agreed, still counts.

    Raises:
        ProtocolError: not published yet, other survivors, a silo that is not among them, or a second answer.
    """
    shown = state.published if isinstance(state, Agreed | Closed) else state
    if not isinstance(shown, Published) or sign.survivors_hash != shown.survivors_hash:
        raise ProtocolError("this signature is not for the published survivors", code="survivors.unknown")
    _survivor(shown, index)
    if index in shown.rejects or shown.signs.get(index, message) != message:
        raise ProtocolError("this silo already answered for the round", code="survivors.answered")
    shown = replace(shown, signs=dict(sorted({**shown.signs, index: message}.items())))
    if isinstance(state, Agreed | Closed):
        return replace(state, published=shown)
    return Agreed(shown) if len(shown.signs) >= rules.threshold else shown


def rejected(state: State, index: int, message: Signed, reject: Reject, rules: Rules) -> State:
    """A silo refused the survivors; when t can no longer sign, the round is abandoned.

    Raises:
        ProtocolError: as for `signed`.
    """
    if not isinstance(state, Published) or reject.survivors_hash != state.survivors_hash:
        raise ProtocolError("this refusal is not for the published survivors", code="survivors.unknown")
    _survivor(state, index)
    if index in state.signs or state.rejects.get(index, message) != message:
        raise ProtocolError("this silo already answered for the round", code="survivors.answered")
    state = replace(state, rejects={**state.rejects, index: message})
    if len(state.uploads) - len(state.rejects) < rules.threshold:
        return Abandoned("rejected")
    return state


def closed(state: State, index: int, message: Signed, close: Close, rules: Rules) -> State:
    """A silo opened the sum and applied it.

    Raises:
        ProtocolError: not agreed yet, other survivors, or a chain or sum that differs from the others'.
    """
    if not isinstance(state, Agreed | Closed) or close.survivors_hash != state.published.survivors_hash:
        raise ProtocolError("this round has not been agreed on yet", code="close.early")
    _survivor(state.published, index)
    for _, other in state.closes.values():
        if (other.chain, other.sum_mac) != (close.chain, close.sum_mac):
            raise ProtocolError(
                "silos opened different sums of this round; the study stops until a person looks",
                code="close.differs",
            )
    closes = dict(sorted({**state.closes, index: (message, close)}.items()))
    if len(closes) >= rules.threshold:
        return Closed(state.published, closes)
    return Agreed(state.published, closes)


def board(state: State) -> tuple[Signed, ...]:
    """The signed messages that a silo may see at this point, in the order of the protocol."""
    if isinstance(state, Published):
        return (state.survivors, *(upload.signed for upload in state.uploads.values()))
    if isinstance(state, Agreed | Closed):
        headers = (upload.signed for upload in state.published.uploads.values())
        closes = (message for message, _ in state.closes.values())
        return (state.published.survivors, *headers, *state.published.signs.values(), *closes)
    return ()


def _survivor(state: Published, index: int) -> None:
    if index not in state.uploads:
        raise ProtocolError("this silo is not among the survivors of the round", code="survivors.not_member")

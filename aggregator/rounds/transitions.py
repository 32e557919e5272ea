"""What a message makes of a round: from one of `states` to the next, or a refusal. Pure: no I/O, time is an argument.

Sets are frozen when everybody is in, or past a time with at least t (`deadlines`); below t the round is abandoned.
Rules kept here: the first header of a (ctx, silo) is final; a frozen set is never frozen again; a
silo's first answer to the survivors is final; Unmask and Close are counted only for the published
survivors; once an UnmaskSet exists a round is abandoned only when t silos found alike that it cannot be
opened, as its sum may have been, or went on past it (`course`). The caller stores each message, and
each frozen set, durably before it hands in or shows it.
"""

from dataclasses import replace

from aggregator.rounds.setup import Abandoned, Advertising, Rules, Setup, Sharing
from aggregator.rounds.states import Agreed, Closed, Folding, Published, State, Unmasked, Upload, Uploading, shown
from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire.messages import UNOPENABLE, Close, Reject, Sign, Unmask, Unopenable
from privacy.wire.sets import unmask_set_digest

EARLY = "close.early"
"""The refusal of a Close of a round that nobody here can have opened."""
REJECTED = "rejected"
"""The reason of an abandonment because silos refused the survivors or the sum; each of them then waits for a person."""


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
    if header.share_set != state.setup.share_set:
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

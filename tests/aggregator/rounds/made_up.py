"""Rounds in each state, led there by made-up messages of up to four silos, of which three are enough."""

from aggregator.rounds import setup, states, transitions
from aggregator.rounds.setup import Advertising, Rules, Setup, Sharing
from aggregator.rounds.states import Closed, Folding, State, Unmasked, Upload, Uploading
from privacy.channel.envelope import Signed
from privacy.wire.limits import BOX_C_BYTES, BOX_S_BYTES, KEM_PUBLIC_BYTES
from privacy.wire.messages import (
    Advertise,
    Close,
    ShareBox,
    Shares,
    Sign,
    Unmask,
    Unopenable,
    UploadHeader,
)
from privacy.wire.sets import advertise_set_digest, share_set_digest, unmask_set_digest

CTX, OTHER_CTX = b"c" * 32, b"d" * 32
SHOWN, OTHER = b"s" * 32, b"t" * 32
CHAIN, OTHER_CHAIN = b"n" * 32, b"m" * 32
SURVIVORS = Signed("survivors", b"list", "hub", b"\0" * 64)
FINAL = (Unmasked, Closed)
"""Once these are reached a round is abandoned on the word of t silos only."""
RULES = Rules(4, 3, patience=20.0, deadline=60.0)
ALL = (1, 2, 3, 4)


def message(kind: str, index: int, version: int = 0) -> Signed:
    return Signed(kind, bytes([index, version]), f"silo-{index}", b"\0" * 64)


def advertise(index: int) -> Advertise:
    return Advertise(CTX, 1, index, b"c" * KEM_PUBLIC_BYTES, b"s" * KEM_PUBLIC_BYTES, b"b" * 32)


def shares(index: int, advertise_set: bytes) -> Shares:
    box = ShareBox(1, bytes(BOX_C_BYTES), bytes(BOX_S_BYTES), bytes(32), bytes(32))
    return Shares(CTX, 1, index, advertise_set, (box,))


def upload(index: int, share_set: bytes, ctx: bytes = CTX, size: int = 8) -> Upload:
    header = UploadHeader(ctx, 1, index, (size,), (b"f" * 32,), b"e" * 32, share_set)
    return Upload(message("upload-header", index), header)


def unmask(index: int, survivors_hash: bytes = SHOWN) -> Unmask:
    return Unmask(CTX, 1, index, survivors_hash, b"sealed" * 4)


def close(survivors_hash: bytes = SHOWN, chain: bytes = CHAIN, mac: bytes = b"a" * 32) -> Close:
    return Close(CTX, 1, survivors_hash, chain, mac, b"s" * 32, 1, b"r" * 32)


def unopenable(state: State, culprit: int = 2) -> Unopenable:
    shares = tuple(state.unmasks.values()) if isinstance(state, FINAL) else ()
    return Unopenable(CTX, 1, SHOWN, unmask_set_digest(shares), culprit, "share.inconsistent")


def uploads_of(state: State) -> dict[int, Upload]:
    public = states.shown(state)
    held = public.uploads if public else state.uploads if isinstance(state, Uploading | Folding) else {}
    return dict(held)


def setup_of(state: State) -> Setup | None:
    public = states.shown(state)
    return public.setup if public else state.setup if isinstance(state, Uploading | Folding) else None


def share_set_of(state: State) -> bytes:
    frozen = setup_of(state)
    return share_set_digest(tuple(frozen.shared.values())) if frozen else b"\0" * 32


def advertising(*indices: int, now: float = 0.0) -> State:
    state: State = Advertising()
    for index in indices:
        state = setup.advertised(state, message("advertise", index), advertise(index), RULES, now)
    return state


def sharing(*indices: int, now: float = 0.0) -> State:
    state: State = advertising(*ALL, now=now)
    assert isinstance(state, Sharing)
    digest = advertise_set_digest(tuple(state.advertised.values()))
    for index in indices:
        after = setup.shared(state, message("shares", index), shares(index, digest))
        state = transitions.opened(after, now) if isinstance(after, Setup) else after
    return state


def uploading(*indices: int, now: float = 0.0) -> State:
    state = sharing(*ALL, now=now)
    for index in indices:
        state = transitions.uploaded(state, upload(index, share_set_of(state)))
    return state


def shown(*indices: int) -> State:
    state = uploading(*indices)
    frozen = setup_of(state)
    assert frozen is not None
    return transitions.published(Folding(frozen, uploads_of(state)), SURVIVORS, SHOWN, 0.0)


def agreed(*indices: int) -> State:
    state = shown(*indices)
    for index in indices[:3]:
        state = transitions.signed(state, index, message("sign", index), Sign(CTX, 1, SHOWN), RULES, 0.0)
    return state


def revealed(*indices: int) -> State:
    state = agreed(*indices)
    for index in indices:
        state = transitions.unmasked(state, index, message("unmask", index), unmask(index))
    return state

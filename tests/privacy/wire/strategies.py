"""Any valid message, for properties."""

from hypothesis import strategies as st

from privacy.channel.envelope import Signed
from privacy.wire import bodies
from privacy.wire.heads import (
    ConsistencyProof,
    CosignedHead,
    HeadAnswer,
    HeadQuery,
    HeadsGiven,
    HeadsShown,
    HeldHead,
    ShownHead,
)
from privacy.wire.keys import KeyAnnounce, KeyGrant, KeyRequest
from privacy.wire.limits import BOX_C_BYTES, BOX_S_BYTES, KEM_PUBLIC_BYTES, MAX_FRAME_BYTES
from privacy.wire.messages import (
    Abandon,
    Advertise,
    Close,
    LedgerHead,
    Reject,
    ShareBox,
    Shares,
    Sign,
    Survivors,
    Unmask,
    Unopenable,
    UploadHeader,
)
from privacy.wire.requests import FROZEN, AwaitRequest, Board, FrameRequest, Phase, SumRequest
from privacy.wire.snapshots import SnapshotDownload, SnapshotFrame, SnapshotOffer, SnapshotRequest, frame_count

digests = st.binary(min_size=32, max_size=32)
notes = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=64)
cosigned_heads = st.just(()) | st.tuples(st.builds(CosignedHead, st.integers(0, 64), notes, st.binary(max_size=64)))
proofs = st.builds(ConsistencyProof, st.integers(1, 2**63 - 1), st.lists(digests, max_size=3).map(tuple))
maybe_digests = st.just(b"") | digests
words = st.integers(0, 2**32 - 1)
indices = st.integers(1, 64)
numbers = st.integers(1, 1_000_000)
names = st.from_regex(r"[a-z][a-z0-9-]{0,39}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=16)
codes = st.from_regex(r"[a-z]{1,20}(\.[a-z_]{1,20})?", fullmatch=True)
signeds = st.builds(Signed, names, st.binary(max_size=80), names, st.binary(min_size=64, max_size=64))
frames = st.lists(st.tuples(st.integers(1, MAX_FRAME_BYTES), digests), min_size=1, max_size=5)


@st.composite
def headers(draw: st.DrawFn) -> UploadHeader:
    sizes, hashes = zip(*draw(frames), strict=True)
    tag = draw(st.binary(max_size=32))
    return UploadHeader(
        draw(digests), draw(numbers), draw(indices), sizes, hashes, draw(digests), draw(maybe_digests), tag
    )


@st.composite
def survivors(draw: st.DrawFn) -> Survivors:
    sizes, hashes = zip(*draw(frames), strict=True)
    members = sorted(draw(st.dictionaries(indices, digests, min_size=1, max_size=5)).items())
    return Survivors(draw(digests), draw(numbers), tuple(members), sizes, hashes, draw(maybe_digests))


def exactly(length: int) -> st.SearchStrategy[bytes]:
    """One repeated byte: boxes and keys are long, and nothing looks into them."""
    return st.binary(min_size=1, max_size=1).map(lambda byte: byte * length)


@st.composite
def shares(draw: st.DrawFn) -> Shares:
    receivers = sorted(draw(st.sets(indices, min_size=1, max_size=4)))
    boxes = tuple(
        ShareBox(receiver, draw(exactly(BOX_C_BYTES)), draw(exactly(BOX_S_BYTES)), draw(digests), draw(digests))
        for receiver in receivers
    )
    return Shares(draw(digests), draw(numbers), draw(indices), draw(digests), boxes)


@st.composite
def snapshot_offers(draw: st.DrawFn) -> SnapshotOffer:
    size = draw(st.integers(1, 4 * 2**20))
    frames = tuple(draw(digests) for _ in range(frame_count(size)))
    places = (draw(digests) for _ in range(2))
    return SnapshotOffer(draw(digests), draw(numbers), draw(indices), *places, size, frames)


any_body: st.SearchStrategy[bodies.Body] = st.one_of(
    st.builds(KeyRequest, digests, words, indices, st.binary(min_size=1216, max_size=1216)),
    st.builds(KeyAnnounce, digests, words, digests, digests),
    st.builds(KeyGrant, signeds, indices, indices, digests, st.binary(max_size=200)),
    st.builds(
        Advertise,
        digests,
        numbers,
        indices,
        exactly(KEM_PUBLIC_BYTES),
        exactly(KEM_PUBLIC_BYTES),
        digests,
        st.just(()) | st.tuples(st.builds(LedgerHead, indices, st.integers(0, 2**64 - 1), digests)),
    ),
    shares(),
    headers(),
    survivors(),
    st.builds(Sign, digests, words, digests),
    st.builds(Reject, digests, words, maybe_digests, codes),
    st.builds(Unmask, digests, numbers, indices, digests, st.binary(min_size=16, max_size=112)),
    st.builds(
        Close,
        digests,
        words,
        digests,
        digests,
        digests,
        digests,
        st.integers(0, 2**64 - 1),
        digests,
        st.just(()) | st.tuples(st.builds(LedgerHead, st.just(2), st.integers(0, 2**64 - 1), digests)),
    ),
    st.builds(Unopenable, digests, numbers, digests, digests, st.integers(0, 64), codes),
    st.builds(Abandon, digests, words, texts),
    st.builds(SnapshotRequest, digests, indices, numbers),
    snapshot_offers(),
    st.builds(
        HeadAnswer,
        digests,
        digests,
        indices,
        st.none() | signeds,
        st.none() | signeds,
        st.tuples(signeds, signeds),
        cosigned_heads,
        st.none() | signeds,
    ),
)
heads_given = st.builds(
    HeadsGiven,
    digests,
    st.binary(min_size=1, max_size=64),
    st.just("") | notes,
    st.lists(proofs, max_size=3).map(tuple),
    cosigned_heads,
    st.just(()) | st.tuples(st.builds(HeldHead, st.integers(0, 64), st.integers(1, 2**63 - 1))),
)
heads_shown = st.builds(
    HeadsShown,
    st.just(()) | st.tuples(st.builds(ShownHead, st.integers(0, 64), notes, st.none() | proofs)),
    cosigned_heads,
    st.lists(st.integers(1, 2**63 - 1), max_size=3).map(tuple),
)
head_queries = st.builds(HeadQuery, digests, digests)
awaits = st.builds(
    AwaitRequest, digests, st.integers(0, 1_000_000), st.sampled_from(Phase), st.integers(0, 60_000), st.booleans()
) | st.builds(
    AwaitRequest,
    digests,
    st.integers(0, 1_000_000),
    st.sampled_from(sorted(FROZEN)),
    st.integers(0, 60_000),
    st.booleans(),
    st.integers(1, 65),
    digests,
)
boards = st.builds(
    Board,
    st.booleans(),
    st.sampled_from(Phase),
    st.lists(signeds, max_size=3).map(tuple),
    st.lists(st.binary(max_size=64), max_size=3).map(tuple),
    st.booleans(),
    words,
    roster_statement=st.none() | signeds,
    first=st.integers(0, 65),
)
snapshot_downloads = st.builds(SnapshotDownload, digests, numbers, st.integers(0, 20_000))
snapshot_frames = st.builds(
    SnapshotFrame, digests, numbers, st.integers(0, 19_999), st.binary(min_size=17, max_size=200)
)
sum_requests = st.builds(SumRequest, digests, numbers, st.integers(0, 20_000))
frame_requests = st.builds(FrameRequest, digests, numbers, st.integers(1, 64), st.integers(0, 20_000))

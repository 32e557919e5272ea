"""Seals of a model state: the same bytes whoever makes them, and nothing altered, foreign or unvouched-for opens."""

import hashlib
import itertools
from collections import Counter
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.channel.envelope import Signed
from privacy.channel.identity import Identity
from privacy.digest import integer, protocol_hash
from privacy.errors import CollegiumError, ProtocolError
from privacy.secagg import snapshot
from privacy.secagg.snapshot import PIECE_BYTES, SealedState, Unsealing, check_offer, open_closes, state_mac
from privacy.study import Study
from privacy.wire import bodies
from privacy.wire.messages import Close
from privacy.wire.snapshots import FRAME_BYTES, SnapshotOffer
from tests.aggregator.members import Members

G = b"g" * 32
CTX, CHAIN = b"c" * 32, b"h" * 32
STATE = bytes(range(256)) * 5000  # one frame and a part of another


def seal(state: bytes = STATE, group_secret: bytes = G, ctx: bytes = CTX, after: bytes = CHAIN) -> SealedState:
    return SealedState.of(group_secret, ctx, after, [memoryview(state)])


def offer_of(sealed: SealedState, giver: int = 1) -> SnapshotOffer:
    digests = sealed.digests()
    return SnapshotOffer(sealed.ctx, 4, giver, sealed.chain, sealed.mac, sealed.size, digests)


def opened(offer: SnapshotOffer, frames: list[bytes], group_secret: bytes = G) -> bytes:
    unsealing = Unsealing(offer, group_secret)
    state = b"".join(unsealing.piece(index, frame) for index, frame in enumerate(frames))
    unsealing.check([memoryview(state)])
    return state


def frames_of(sealed: SealedState) -> list[bytes]:
    return [sealed.frame(index) for index in range(len(sealed.digests()))]


# ---- sealing


@settings(max_examples=30)
@given(
    st.integers(1, 3 * PIECE_BYTES).flatmap(
        lambda size: st.tuples(st.just(size), st.lists(st.integers(0, size), max_size=4))
    )
)
def test_what_is_sealed_in_any_pieces_opens_to_the_same(drawn: tuple[int, list[int]]) -> None:
    size, cuts = drawn
    state = hashlib.shake_128(b"state").digest(size)
    edges = [0, *sorted(cuts), size]
    parts = [memoryview(state)[start:end] for start, end in itertools.pairwise(edges)]
    sealed = SealedState.of(G, CTX, CHAIN, parts)
    frames = frames_of(sealed)
    assert [len(frame) for frame in frames] == [offer_of(sealed).frame_bytes(i) for i in range(len(frames))]
    assert max(map(len, frames)) <= FRAME_BYTES
    assert frames == frames_of(seal(state)), "two holders make the same frames"
    assert opened(offer_of(sealed), frames) == state


def test_there_is_no_frame_past_the_end() -> None:
    for index in (-1, 2):
        with pytest.raises(ValueError, match="no such frame"):
            seal().frame(index)


def test_no_nonce_is_used_twice_under_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """One key for each state, round, chain and study: a nonce is only ever used for one and the same plaintext."""
    used: dict[tuple[bytes, bytes], set[bytes]] = {}

    class Watched:
        def __init__(self, key: bytes) -> None:
            self._key, self._cipher = key, AESGCM(key)

        def encrypt(self, nonce: bytes, data: bytes, aad: bytes | None) -> bytes:
            used.setdefault((self._key, nonce), set()).add(data)
            return self._cipher.encrypt(nonce, data, aad)

    monkeypatch.setattr(snapshot, "AESGCM", Watched)
    variants = [seal(), seal(), seal(STATE[:-1]), seal(STATE + b"\0"), seal(STATE[::-1])]
    variants += [seal(ctx=b"x" * 32), seal(after=b"x" * 32), seal(group_secret=b"x" * 32)]
    for sealed in variants:
        frames_of(sealed)
    assert all(len(plaintexts) == 1 for plaintexts in used.values())
    assert len({key for key, _ in used}) == len(variants) - 1, "only the very same state has the same key"
    assert max(Counter(nonce for _, nonce in used).values()) > 1, "the test saw nonces come again under other keys"


def test_a_keyed_digest_tells_nothing_to_who_can_guess_the_state() -> None:
    assert state_mac(G, CTX, [memoryview(STATE)]) not in (
        hashlib.sha256(STATE).digest(),
        state_mac(b"h" * 32, CTX, [memoryview(STATE)]),
        state_mac(G, b"d" * 32, [memoryview(STATE)]),
    )
    assert STATE[:1000] not in b"".join(frames_of(seal()))


# ---- opening, and its tampered twins


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frames: [frames[1], frames[0]],
        lambda frames: [frames[0][:-1] + bytes([frames[0][-1] ^ 1]), frames[1]],
        lambda frames: [frames[0], frames[1][:-1]],
        lambda frames: [seal(STATE[::-1]).frame(0), frames[1]],
        lambda frames: [seal(ctx=b"x" * 32).frame(0), frames[1]],
    ],
    ids=["reordered", "flipped", "cut", "another state", "another round"],
)
def test_frames_that_are_not_those_offered_are_refused(spoil) -> None:  # type: ignore[no-untyped-def]
    sealed = seal()
    frames, offer = frames_of(sealed), offer_of(sealed)
    assert opened(offer, frames) == STATE
    spoilt = spoil(frames)
    assert refusal(offer, spoilt) == "snapshot.altered"
    # Also when the giver, or who relays, has the digests fit.
    fitting = replace(offer, frame_sha256=tuple(hashlib.sha256(frame).digest() for frame in spoilt))
    assert refusal(fitting, spoilt) == "snapshot.altered"


def test_a_silo_cannot_give_another_state_than_the_closes_vouch_for() -> None:
    """Who has G can seal anything under the key of the right digest; the whole is compared in the end."""
    right, wrong = offer_of(seal()), STATE[::-1]
    cipher = snapshot._cipher(G, CTX, CHAIN, right.state_mac, len(wrong))
    pieces = [wrong[:PIECE_BYTES], wrong[PIECE_BYTES:]]
    frames = [cipher.encrypt(index.to_bytes(12, "big"), piece, None) for index, piece in enumerate(pieces)]
    forged = replace(right, frame_sha256=tuple(hashlib.sha256(frame).digest() for frame in frames))
    assert Unsealing(forged, G).piece(0, frames[0]) == pieces[0], "without the last check it would be taken"
    assert refusal(forged, frames) == "snapshot.altered"


def test_without_the_group_secret_nothing_can_be_sealed() -> None:
    """The aggregator knows every public value, and has another G at best."""
    honest = offer_of(seal())
    forged = seal(b"\0" * len(STATE), group_secret=b"a" * 32)
    relabelled = replace(honest, frame_sha256=forged.digests())
    assert refusal(relabelled, frames_of(forged)) == "snapshot.altered"
    key = protocol_hash("snapshot", CTX, CHAIN, honest.state_mac, integer(honest.size))
    frame = AESGCM(key).encrypt(bytes(12), bytes(100), None)
    assert refusal(replace(honest, frame_sha256=(hashlib.sha256(frame).digest(),) * 2), [frame]) == "snapshot.altered"


def refusal(offer: SnapshotOffer, frames: list[bytes]) -> str:
    with pytest.raises(ProtocolError) as caught:
        opened(offer, frames)
    return caught.value.code


# ---- who stands behind it


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Members:
    return Members.enrol(tmp_path_factory.mktemp("members"), ("north", "south", "east", "west"))


def close_of(offer: SnapshotOffer, **changes: object) -> Close:
    close = Close(offer.ctx, offer.round_number, b"s" * 32, offer.chain, b"m" * 32, offer.state_mac, 1, b"r" * 32)
    return replace(close, **changes)  # type: ignore[arg-type]


def closes_of(members: Members, offer: SnapshotOffer, *silos: int, **changes: object) -> list[Signed]:
    return [members.seal(index, close_of(offer, **changes)) for index in silos]


def check(study: Study, offer: SnapshotOffer, closes: list[Signed], giver: int = 1) -> None:
    check_offer(offer, giver, open_closes(closes, study.roster), study.roster)


def test_t_closes_on_the_same_state_stand_behind_an_offer(members: Members) -> None:
    offer = offer_of(seal())
    check(members.study, offer, closes_of(members, offer, 1, 2, 3))
    check(members.study, offer, closes_of(members, offer, 2, 3, 4))


@pytest.mark.parametrize(
    "changes",
    [
        {"ctx": b"x" * 32},
        {"round_number": 3},
        {"chain": b"x" * 32},
        {"state_mac": b"x" * 32},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_close_on_anything_else_does_not_count(members: Members, changes: dict[str, object]) -> None:
    offer = offer_of(seal())
    closes = [*closes_of(members, offer, 1, 2), *closes_of(members, offer, 3, **changes)]
    with pytest.raises(ProtocolError) as caught:
        check(members.study, offer, closes)
    assert caught.value.code == "snapshot.too_few_closes"
    # One silo that says otherwise does not keep a snapshot from those that t others stand behind.
    check(members.study, offer, [*closes, *closes_of(members, offer, 4)])


def test_fewer_than_t_or_one_silo_several_times_are_refused(members: Members) -> None:
    offer = offer_of(seal())
    for closes in ([], closes_of(members, offer, 1, 2), closes_of(members, offer, 1, 2, 2, 1)):
        with pytest.raises(ProtocolError) as caught:
            check(members.study, offer, closes)
        assert caught.value.code == "snapshot.too_few_closes"


def test_a_forged_close_is_refused(members: Members) -> None:
    offer = offer_of(seal())
    honest = closes_of(members, offer, 1, 2)
    stranger: Identity = members.hub
    forged = bodies.seal(close_of(offer), "east", stranger.keys.identity)
    for third in (forged, replace(honest[0], signer="east"), replace(forged, signer="nobody")):
        with pytest.raises(CollegiumError) as caught:
            check(members.study, offer, [*honest, third])
        assert caught.value.code in ("identity.bad_signature", "study.not_on_roster")


@pytest.mark.parametrize(
    ("changes", "giver", "code"),
    [
        ({}, 2, "snapshot.wrong_name"),
        ({"round_number": 3}, 1, "snapshot.too_few_closes"),
        ({"ctx": b"x" * 32}, 1, "snapshot.too_few_closes"),
        ({"chain": b"x" * 32}, 1, "snapshot.too_few_closes"),
        ({"state_mac": b"x" * 32}, 1, "snapshot.too_few_closes"),
    ],
)
def test_an_offer_of_something_else(members: Members, changes: dict[str, object], giver: int, code: str) -> None:
    offer = offer_of(seal())
    changed: SnapshotOffer = replace(offer, **changes)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError) as caught:
        check(members.study, changed, closes_of(members, offer, 1, 2, 3, 4), giver)
    assert caught.value.code == code


def test_closes_of_another_study_vouch_for_nothing(members: Members) -> None:
    """The same silos close rounds of two studies: what t of them said in the other is not ours to open."""
    other = seal(group_secret=b"o" * 32)
    offer = offer_of(other)
    check(members.study, offer, closes_of(members, offer, 1, 2, 3))
    assert refusal(offer, frames_of(other)) == "snapshot.altered"

"""The state machine of a round under arbitrary orders of messages, repeats, lies and time."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aggregator import deadlines, rounds, setup
from aggregator.rounds import Agreed, Closed, Folding, Published, State, Unmasked, Upload, Uploading
from aggregator.setup import Abandoned, Advertising, Rules, Setup, Sharing
from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire.limits import BOX_C_BYTES, BOX_S_BYTES, KEM_PUBLIC_BYTES
from privacy.wire.messages import (
    UNOPENABLE,
    Advertise,
    Close,
    Reject,
    ShareBox,
    Shares,
    Sign,
    Unmask,
    Unopenable,
    UploadHeader,
)
from privacy.wire.requests import Phase
from privacy.wire.sets import advertise_set_digest, share_set_digest, unmask_set_digest

CTX, OTHER_CTX = b"c" * 32, b"d" * 32
SHOWN, OTHER = b"s" * 32, b"t" * 32
CHAIN, OTHER_CHAIN = b"n" * 32, b"m" * 32
SURVIVORS = Signed("survivors", b"list", "hub", b"\0" * 64)
ORDER = (Advertising, Sharing, Uploading, Folding, Published, Agreed, Unmasked, Closed)
RANK = {kind: position for position, kind in enumerate(ORDER)}
FINAL = (Unmasked, Closed)
"""Once these are reached a round is abandoned on the word of t silos only."""
silos = st.integers(1, 5)


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
    public = rounds.shown(state)
    held = public.uploads if public else state.uploads if isinstance(state, Uploading | Folding) else {}
    return dict(held)


def setup_of(state: State) -> Setup | None:
    public = rounds.shown(state)
    return public.setup if public else state.setup if isinstance(state, Uploading | Folding) else None


def share_set_of(state: State) -> bytes:
    frozen = setup_of(state)
    return share_set_digest(tuple(frozen.shared.values())) if frozen else b"\0" * 32


class Round(RuleBasedStateMachine):
    """Up to five silos; every refusal must leave the state as it was."""

    @initialize(silos=st.integers(3, 5), threshold=st.integers(2, 5))
    def begin(self, silos: int, threshold: int) -> None:
        self.rules = Rules(silos, min(threshold, silos), patience=5.0, deadline=10.0)
        self.state: State = Advertising()
        self.now = 0.0
        self.frozen: dict[str, tuple[int, ...]] = {}
        self.first: dict[tuple[str, int], Signed] = {}
        self.headers: dict[int, Upload] = {}
        self.rank = 0

    def attempt(self, call: object, *arguments: object) -> bool:
        before = self.state
        try:
            self.state = call(self.state, *arguments)  # type: ignore[operator]
        except ProtocolError:
            assert self.state is before
            return False
        if isinstance(self.state, Setup):
            self.state = rounds.opened(self.state, self.now)  # type: ignore[unreachable]
        return True

    def final(self, kind: str, given: Signed, index: int) -> None:
        """A silo's first message of a kind is final."""
        assert self.first.setdefault((kind, index), given) == given

    @rule(index=silos, version=st.sampled_from([0, 0, 0, 1]))
    def advertise(self, index: int, version: int) -> None:
        if index > self.rules.silos:
            return
        given = message("advertise", index, version)
        if self.attempt(setup.advertised, given, advertise(index), self.rules, self.now):
            self.final("advertise", given, index)

    @rule(index=silos, version=st.sampled_from([0, 0, 0, 1]), right=st.sampled_from([True, True, True, False]))
    def share(self, index: int, version: int, right: bool) -> None:
        before = self.state
        known = before.advertised if isinstance(before, Sharing) else {}
        digest = advertise_set_digest(tuple(known.values())) if right else b"\1" * 32
        given = message("shares", index, version)
        if self.attempt(setup.shared, given, shares(index, digest)):
            assert right
            assert index in known
            self.final("shares", given, index)

    @rule(
        index=silos,
        ctx=st.sampled_from([CTX, CTX, CTX, OTHER_CTX]),
        size=st.sampled_from([8, 8, 8, 9]),
        right=st.sampled_from([True, True, True, False]),
        whole=st.booleans(),
    )
    def upload(self, index: int, ctx: bytes, size: int, right: bool, whole: bool) -> None:
        """Its header alone, or all of it."""
        before, held = setup_of(self.state), uploads_of(self.state)
        share_set = share_set_of(self.state) if right else b"\1" * 32
        given = upload(index, share_set, ctx, size)
        if self.attempt(rounds.uploaded if whole else rounds.begun, given):
            assert right
            assert before is not None
            assert index in before.shared
            assert index not in held
            assert (index in uploads_of(self.state)) == whole
            assert self.headers.setdefault(index, given) == given, "a second header was taken"

    @rule(seconds=st.sampled_from([0.0, 1.0, 2.0, 5.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        before = self.state
        self.state = deadlines.tick(self.state, self.rules, self.now)
        if isinstance(before, Folding | Unmasked | Closed | Abandoned):
            assert self.state is before

    @rule()
    def somebody_waits(self) -> None:
        self.state = deadlines.awaited(self.state, self.now)

    @rule()
    def publish(self) -> None:
        if isinstance(self.state, Folding):
            self.state = rounds.published(self.state, SURVIVORS, SHOWN, self.now)
        else:
            with pytest.raises(RuntimeError):
                rounds.published(self.state, SURVIVORS, SHOWN, self.now)

    @rule(index=silos, version=st.integers(0, 1), survivors_hash=st.sampled_from([SHOWN, SHOWN, SHOWN, OTHER]))
    def sign(self, index: int, version: int, survivors_hash: bytes) -> None:
        given = message("sign", index, version)
        if self.attempt(rounds.signed, index, given, Sign(CTX, 1, survivors_hash), self.rules, self.now):
            assert survivors_hash == SHOWN
            assert index in uploads_of(self.state)
            self.final("answer", given, index)

    @rule(index=silos, version=st.integers(0, 1), survivors_hash=st.sampled_from([SHOWN, SHOWN, OTHER]))
    def reject(self, index: int, version: int, survivors_hash: bytes) -> None:
        given = message("reject", index, version)
        if self.attempt(rounds.rejected, index, given, Reject(CTX, 1, survivors_hash, "sum.refused"), self.rules):
            assert survivors_hash == SHOWN
            self.final("answer", given, index)

    @rule(index=silos, version=st.sampled_from([0, 0, 1]), survivors_hash=st.sampled_from([SHOWN, SHOWN, OTHER]))
    def reveal(self, index: int, version: int, survivors_hash: bytes) -> None:
        before, given = self.state, message("unmask", index, version)
        if self.attempt(rounds.unmasked, index, given, unmask(index, survivors_hash)):
            assert isinstance(before, Agreed)
            assert survivors_hash == SHOWN
            assert index in uploads_of(self.state)
            self.final("unmask", given, index)

    @rule(
        index=silos, survivors_hash=st.sampled_from([SHOWN, SHOWN, OTHER]), chain=st.sampled_from([CHAIN, OTHER_CHAIN])
    )
    def close(self, index: int, survivors_hash: bytes, chain: bytes) -> None:
        before = self.state
        if self.attempt(rounds.closed, index, message("close", index), close(survivors_hash, chain), self.rules):
            assert isinstance(before, FINAL)
            assert survivors_hash == SHOWN
            assert all(other.chain == chain for _, other in before.closes.values())

    @rule(index=silos, culprit=st.sampled_from([1, 1, 1, 2]), right=st.sampled_from([True, True, True, False]))
    def cannot_open(self, index: int, culprit: int, right: bool) -> None:
        before = self.state
        body = unopenable(before, culprit) if right else replace(unopenable(before, culprit), unmask_set=OTHER)
        if self.attempt(rounds.unopenable, index, body, self.rules):
            assert right
            assert isinstance(before, Unmasked)
            assert index not in before.closes
            alike = {index} | {silo for silo, other in before.unopenables.items() if other == body}
            assert before.unopenables.get(index, body) == body
            if len(alike) >= self.rules.threshold:
                assert self.state == Abandoned(UNOPENABLE)
                assert len(before.closes) < self.rules.threshold
                self.rank = RANK[Published]
            else:
                assert isinstance(self.state, Unmasked)

    @invariant()
    def the_phase_never_goes_back_and_no_round_is_abandoned_once_it_may_be_open(self) -> None:
        if isinstance(self.state, Abandoned):
            assert self.rank < RANK[Unmasked]
            self.rank = -1
        else:
            assert 0 <= self.rank <= RANK[type(self.state)]
            self.rank = RANK[type(self.state)]

    @invariant()
    def a_frozen_set_never_changes_and_has_t_members_at_least(self) -> None:
        frozen = rounds.frozen_sets(self.state)
        if isinstance(self.state, Folding) or rounds.shown(self.state):
            frozen["uploads"] = tuple(uploads_of(self.state))
        for name, members in frozen.items():
            assert self.frozen.setdefault(name, members) == members
            assert members == tuple(sorted(set(members)))
            assert len(members) >= self.rules.threshold
        chain = [set(frozen[name]) for name in ("advertised", "shared", "uploads", "unmasked") if name in frozen]
        assert all(later <= earlier for earlier, later in pairwise(chain))

    @invariant()
    def each_silo_is_in_the_set_at_most_once_and_agrees_on_the_context(self) -> None:
        held = uploads_of(self.state)
        assert all(index == one.header.silo_index for index, one in held.items())
        assert len({one.header.ctx for one in held.values()}) <= 1

    @invariant()
    def agreement_needs_t_signs_and_an_end_needs_t_closes(self) -> None:
        if isinstance(self.state, Agreed | Unmasked | Closed):
            published = self.state.published
            assert len(published.signs) >= self.rules.threshold
            assert not set(published.signs) & set(published.rejects)
        if isinstance(self.state, FINAL):
            assert len({(c.chain, c.sum_mac) for _, c in self.state.closes.values()}) <= 1
            assert isinstance(self.state, Closed) == (len(self.state.closes) >= self.rules.threshold)

    @invariant()
    def each_board_shows_the_messages_of_its_phase_and_none_is_shown_before(self) -> None:
        kinds = {
            Phase.ADVERTISED: (Sharing, {"advertise"}),
            Phase.SHARED: (Uploading, {"shares"}),
            Phase.SURVIVORS: (Published, {"survivors", "upload-header"}),
            Phase.SIGNED: (Published, {"sign"}),
            Phase.UNMASKED: (Unmasked, {"unmask"}),
            Phase.CLOSED: (Closed, {"close"}),
        }
        rank = RANK.get(type(self.state), -1)
        for phase, (since, allowed) in kinds.items():
            found = rounds.board(self.state, phase)
            assert {shown.kind for shown in found} <= allowed
            assert not found or rank >= RANK[since]
            if rank >= RANK[since] and phase != Phase.SIGNED:
                assert found


Round.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestRound = Round.TestCase

RULES = Rules(4, 3, patience=20.0, deadline=60.0)
ALL = (1, 2, 3, 4)


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
        state = rounds.opened(after, now) if isinstance(after, Setup) else after
    return state


def uploading(*indices: int, now: float = 0.0) -> State:
    state = sharing(*ALL, now=now)
    for index in indices:
        state = rounds.uploaded(state, upload(index, share_set_of(state)))
    return state


def shown(*indices: int) -> State:
    state = uploading(*indices)
    frozen = setup_of(state)
    assert frozen is not None
    return rounds.published(Folding(frozen, uploads_of(state)), SURVIVORS, SHOWN, 0.0)


def agreed(*indices: int) -> State:
    state = shown(*indices)
    for index in indices[:3]:
        state = rounds.signed(state, index, message("sign", index), Sign(CTX, 1, SHOWN), RULES, 0.0)
    return state


def revealed(*indices: int) -> State:
    state = agreed(*indices)
    for index in indices:
        state = rounds.unmasked(state, index, message("unmask", index), unmask(index))
    return state


def test_the_last_silo_freezes_each_set() -> None:
    assert isinstance(advertising(2, 1, 4), Advertising)
    keys = advertising(2, 1, 4, 3)
    assert isinstance(keys, Sharing)
    assert list(keys.advertised) == [1, 2, 3, 4]
    assert isinstance(sharing(4, 1, 2), Sharing)
    assert isinstance(sharing(4, 1, 2, 3), Uploading)
    assert isinstance(agreed(*ALL), Agreed)
    assert isinstance(revealed(*ALL), Unmasked)


@pytest.mark.parametrize(
    ("present", "after"),
    [((1,), Abandoned("too_few_advertised")), ((1, 3), Abandoned("too_few_advertised")), ((1, 2, 4), None)],
)
def test_patience_freezes_t_advertisers_and_abandons_fewer(present: tuple[int, ...], after: Abandoned | None) -> None:
    state = advertising(*present, now=5.0)
    assert deadlines.tick(state, RULES, 24.9) is state
    ended = deadlines.tick(state, RULES, 25.0)
    assert isinstance(ended, Sharing) if after is None else ended == after


@pytest.mark.parametrize(
    ("present", "after"),
    [((), Abandoned("too_few_shared")), ((1, 3), Abandoned("too_few_shared")), ((1, 2, 4), None)],
)
def test_patience_freezes_t_sharers_and_abandons_fewer(present: tuple[int, ...], after: Abandoned | None) -> None:
    state = sharing(*present, now=5.0)
    assert deadlines.tick(state, RULES, 24.9) is state
    ended = deadlines.tick(state, RULES, 25.0)
    assert isinstance(ended, Uploading) if after is None else ended == after


@pytest.mark.parametrize(("present", "enough"), [((), False), ((1, 3), False), ((1, 2, 4), True)])
def test_patience_freezes_t_unmasks_and_abandons_fewer(present: tuple[int, ...], enough: bool) -> None:
    state = agreed(*ALL)
    for index in present:
        state = rounds.unmasked(state, index, message("unmask", index), unmask(index))
    assert deadlines.tick(state, RULES, 19.9) is state
    ended = deadlines.tick(state, RULES, 20.0)
    assert isinstance(ended, Unmasked) if enough else ended == Abandoned("too_few_unmasked")


def test_the_last_upload_freezes_the_set() -> None:
    assert isinstance(uploading(2, 1, 4), Uploading)
    state = uploading(2, 1, 4, 3)
    assert isinstance(state, Folding)
    assert list(state.uploads) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("present", "after"), [((), Abandoned), ((1,), Abandoned), ((1, 3), Abandoned), ((1, 2, 4), Folding)]
)
def test_the_deadline_freezes_t_uploads_and_abandons_fewer(present: tuple[int, ...], after: type[State]) -> None:
    state = uploading(*present, now=5.0)
    assert deadlines.tick(state, RULES, 64.9) == state
    assert isinstance(deadlines.tick(state, RULES, 65.0), after)


def test_patience_does_not_run_before_somebody_is_there() -> None:
    assert deadlines.tick(Advertising(), RULES, 1e9) == Advertising()


def test_a_round_whose_silos_all_lost_their_keys_ends_when_they_wait_for_it() -> None:
    state = deadlines.awaited(Advertising(), 100.0)
    assert deadlines.awaited(state, 110.0) == state
    assert deadlines.tick(state, RULES, 120.0) == Abandoned("too_few_advertised")


def test_waiting_moves_no_deadline() -> None:
    for state in (advertising(1, now=5.0), sharing(1, now=5.0), uploading(1, now=5.0)):
        assert deadlines.awaited(state, 15.0) == state


def test_too_few_signatures_abandon_the_round_at_its_deadline() -> None:
    state = rounds.signed(shown(1, 2, 3), 1, message("sign", 1), Sign(CTX, 1, SHOWN), RULES, 0.0)
    assert deadlines.tick(state, RULES, 19.0) is state
    assert deadlines.tick(state, RULES, 20.0) == Abandoned("too_few_signatures")


def test_t_silos_that_cannot_open_a_round_end_it() -> None:
    state = revealed(1, 2, 3, 4)
    for index in (1, 3):
        state = rounds.unopenable(state, index, unopenable(state), RULES)
        state = rounds.unopenable(state, index, unopenable(state), RULES)
    assert isinstance(rounds.unopenable(state, 4, unopenable(state, culprit=1), RULES), Unmasked)
    assert rounds.unopenable(state, 4, unopenable(state), RULES) == Abandoned(UNOPENABLE)


def test_a_silo_says_one_thing_of_how_a_round_ended() -> None:
    state = rounds.closed(revealed(1, 2, 3, 4), 1, message("close", 1), close(), RULES)
    with pytest.raises(ProtocolError, match="already said"):
        rounds.unopenable(state, 1, unopenable(state), RULES)
    state = rounds.unopenable(state, 2, unopenable(state), RULES)
    with pytest.raises(ProtocolError, match="already said"):
        rounds.unopenable(state, 2, unopenable(state, culprit=4), RULES)
    with pytest.raises(ProtocolError) as caught:
        rounds.closed(state, 2, message("close", 2), close(), RULES)
    assert caught.value.code == "close.contradicted"
    for index in (3, 4):
        state = rounds.closed(state, index, message("close", index), close(), RULES)
    assert isinstance(state, Closed)
    with pytest.raises(ProtocolError) as caught:
        rounds.unopenable(state, 2, unopenable(state), RULES)
    assert caught.value.code == "unopenable.unexpected"


def test_a_round_whose_unmask_set_exists_is_never_abandoned_for_time_or_a_reject() -> None:
    state = revealed(1, 2, 3)
    assert deadlines.tick(state, RULES, 1e9) is state
    with pytest.raises(ProtocolError):
        rounds.rejected(state, 3, message("reject", 3), Reject(CTX, 1, SHOWN, "sum.refused"), RULES)


@pytest.mark.parametrize("state", [uploading(*ALL), shown(1, 2, 3), agreed(1, 2, 3), Abandoned("no")])
def test_a_late_upload_is_refused(state: State) -> None:
    with pytest.raises(ProtocolError) as caught:
        rounds.check_header(state, upload(4, share_set_of(state)))
    assert caught.value.code == "upload.late"


@pytest.mark.parametrize("state", [advertising(1, 2, 4), sharing(1, 2, 4)])
def test_an_early_upload_is_refused(state: State) -> None:
    with pytest.raises(ProtocolError) as caught:
        rounds.check_header(state, upload(4, b"\1" * 32))
    assert caught.value.code == "upload.early"


def test_a_silo_that_shared_no_keys_cannot_upload() -> None:
    state = deadlines.tick(sharing(1, 2, 3), RULES, 20.0)
    with pytest.raises(ProtocolError) as caught:
        rounds.check_header(state, upload(4, share_set_of(state)))
    assert caught.value.code == "upload.not_member"
    for index in (1, 2, 3):
        state = rounds.uploaded(state, upload(index, share_set_of(state)))
    assert isinstance(state, Folding)


def test_a_share_set_that_differs_is_refused() -> None:
    with pytest.raises(ProtocolError) as caught:
        rounds.check_header(uploading(1), upload(2, b"h" * 32))
    assert caught.value.code == "round.split_view"


def test_the_first_header_of_a_silo_is_final_whether_its_frames_have_come_or_not() -> None:
    state = uploading()
    first, other = (upload(1, share_set_of(state), size=size) for size in (8, 9))
    begun = rounds.begun(state, first)
    assert uploads_of(begun) == {}
    assert rounds.begun(begun, first) == begun
    with pytest.raises(ProtocolError) as caught:
        rounds.begun(begun, other)
    assert caught.value.code == "upload.other_header"
    whole = rounds.uploaded(begun, first)
    for again in (first, other):
        with pytest.raises(ProtocolError) as caught:
            rounds.begun(whole, again)
        assert caught.value.code == "upload.repeated"


@pytest.mark.parametrize("state", [advertising(1), sharing(1), uploading(1), shown(1, 2, 3), agreed(1, 2, 3)])
def test_time_moves_a_state_at_the_instant_it_names_and_not_before(state: State) -> None:
    due = deadlines.due_at(state, RULES)
    assert due is not None
    assert deadlines.tick(state, RULES, due - 1e-6) is state
    assert deadlines.tick(state, RULES, due) is not state


@pytest.mark.parametrize("state", [Advertising(), uploading(*ALL), Abandoned("no")])
def test_some_states_wait_for_something_else_than_time(state: State) -> None:
    assert deadlines.due_at(state, RULES) is None
    assert deadlines.tick(state, RULES, 1e9) is state


def test_shares_for_another_advertise_set_or_of_a_silo_that_did_not_advertise_are_refused() -> None:
    state = deadlines.tick(advertising(1, 2, 3), RULES, 20.0)
    assert isinstance(state, Sharing)
    with pytest.raises(ProtocolError) as caught:
        setup.shared(state, message("shares", 1), shares(1, b"h" * 32))
    assert caught.value.code == "round.split_view"
    with pytest.raises(ProtocolError) as caught:
        setup.shared(state, message("shares", 4), shares(4, advertise_set_digest(tuple(state.advertised.values()))))
    assert caught.value.code == "round.late"


def test_a_silo_that_is_left_out_can_neither_sign_nor_reveal_but_close() -> None:
    with pytest.raises(ProtocolError, match="not among the survivors"):
        rounds.signed(shown(1, 2, 3), 4, message("sign", 4), Sign(CTX, 1, SHOWN), RULES, 0.0)
    with pytest.raises(ProtocolError, match="not among the survivors"):
        rounds.unmasked(agreed(1, 2, 3), 4, message("unmask", 4), unmask(4))
    state = revealed(1, 2, 3)
    for index in (1, 2, 4):
        state = rounds.closed(state, index, message("close", index), close(), RULES)
    assert isinstance(state, Closed)


def test_shares_for_another_list_or_other_shares_than_before_are_refused() -> None:
    state = rounds.unmasked(agreed(*ALL), 1, message("unmask", 1), unmask(1))
    assert rounds.unmasked(state, 1, message("unmask", 1), unmask(1)) == state
    with pytest.raises(ProtocolError) as caught:
        rounds.unmasked(state, 1, message("unmask", 1, 1), unmask(1))
    assert caught.value.code == "unmask.repeated"
    with pytest.raises(ProtocolError) as caught:
        rounds.unmasked(state, 2, message("unmask", 2), unmask(2, OTHER))
    assert caught.value.code == "survivors.unknown"
    for other in (shown(*ALL), revealed(*ALL)):
        with pytest.raises(ProtocolError) as caught:
            rounds.unmasked(other, 1, message("unmask", 1), unmask(1))
        assert caught.value.code == "unmask.unexpected"


@pytest.mark.parametrize("state", [shown(1, 2, 3, 4), agreed(1, 2, 3, 4)])
def test_a_second_different_signature_is_refused(state: State) -> None:
    first = rounds.signed(state, 1, message("sign", 1), Sign(CTX, 1, SHOWN), RULES, 0.0)
    assert rounds.signed(first, 1, message("sign", 1), Sign(CTX, 1, SHOWN), RULES, 0.0) == first
    for survivors_hash in (SHOWN, OTHER):
        with pytest.raises(ProtocolError):
            rounds.signed(first, 1, message("sign", 1, 1), Sign(CTX, 1, survivors_hash), RULES, 0.0)


def test_a_late_signature_for_other_survivors_is_refused_after_agreement() -> None:
    with pytest.raises(ProtocolError) as caught:
        rounds.signed(agreed(1, 2, 3, 4), 4, message("sign", 4), Sign(CTX, 1, OTHER), RULES, 0.0)
    assert caught.value.code == "survivors.unknown"


def test_rejects_abandon_the_round_once_t_can_no_longer_sign() -> None:
    state = rounds.rejected(shown(1, 2, 3, 4), 1, message("reject", 1), Reject(CTX, 1, SHOWN, "sum.refused"), RULES)
    assert isinstance(state, Published)
    state = rounds.rejected(state, 2, message("reject", 2), Reject(CTX, 1, SHOWN, "sum.refused"), RULES)
    assert state == Abandoned("rejected")


def test_a_silo_cannot_both_sign_and_reject() -> None:
    state = rounds.signed(shown(1, 2, 3, 4), 1, message("sign", 1), Sign(CTX, 1, SHOWN), RULES, 0.0)
    with pytest.raises(ProtocolError):
        rounds.rejected(state, 1, message("reject", 1), Reject(CTX, 1, SHOWN, "sum.refused"), RULES)
    state = rounds.rejected(shown(1, 2, 3, 4), 1, message("reject", 1), Reject(CTX, 1, SHOWN, "sum.refused"), RULES)
    with pytest.raises(ProtocolError):
        rounds.signed(state, 1, message("sign", 1), Sign(CTX, 1, SHOWN), RULES, 0.0)


@pytest.mark.parametrize("other", [close(chain=OTHER_CHAIN), close(mac=b"b" * 32)])
def test_a_close_that_differs_is_refused(other: Close) -> None:
    state = rounds.closed(revealed(1, 2, 3), 1, message("close", 1), close(), RULES)
    with pytest.raises(ProtocolError) as caught:
        rounds.closed(state, 2, message("close", 2), other, RULES)
    assert caught.value.code == "close.differs"


@pytest.mark.parametrize("state", [shown(1, 2, 3), agreed(1, 2, 3)])
def test_a_close_before_unmasking_is_refused(state: State) -> None:
    with pytest.raises(ProtocolError) as caught:
        rounds.closed(state, 1, message("close", 1), close(), RULES)
    assert caught.value.code == "close.early"


@given(st.permutations([1, 2, 3, 4]))
def test_the_order_of_uploads_does_not_matter(order: list[int]) -> None:
    assert uploads_of(uploading(*order)) == uploads_of(uploading(1, 2, 3, 4))


def test_phases_are_those_of_the_wire() -> None:
    states: list[State] = [
        advertising(1),
        sharing(1),
        uploading(1),
        uploading(*ALL),
        shown(1, 2, 3),
        agreed(1, 2, 3),
        revealed(1, 2, 3),
        Abandoned("rejected"),
    ]
    phases = [
        Phase.KEYS_GRANTED,
        Phase.ADVERTISED,
        Phase.UPLOADING,
        Phase.UPLOADING,
        Phase.SURVIVORS,
        Phase.SIGNED,
        Phase.UNMASKED,
        Phase.ABANDONED,
    ]
    assert [rounds.phase(state) for state in states] == phases
    finished = revealed(1, 2, 3)
    assert isinstance(finished, Unmasked)
    closes = {index: (message("close", index), close()) for index in (1, 2, 3)}
    assert rounds.phase(Closed(replace(finished.published), finished.unmasks, closes)) == Phase.CLOSED

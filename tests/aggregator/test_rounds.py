"""The state machine of a round under arbitrary orders of messages, repeats, lies and time."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aggregator import rounds
from aggregator.rounds import Abandoned, Agreed, Closed, Folding, Published, Rules, State, Upload, Uploading
from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire.messages import Close, Phase, Reject, Sign, UploadHeader

CTX, OTHER_CTX = b"c" * 32, b"d" * 32
SHOWN, OTHER = b"s" * 32, b"t" * 32
CHAIN, OTHER_CHAIN = b"n" * 32, b"m" * 32
SURVIVORS = Signed("survivors", b"list", "hub", b"\0" * 64)
RANK = {
    Uploading: 0,
    Folding: 1,
    Published: 2,
    Agreed: 3,
    Closed: 4,
    Abandoned: 5,
}
silos = st.integers(1, 5)


def message(kind: str, index: int, version: int = 0) -> Signed:
    return Signed(kind, bytes([index, version]), f"silo-{index}", b"\0" * 64)


def upload(index: int, ctx: bytes = CTX, size: int = 8, share_set: bytes = b"") -> Upload:
    header = UploadHeader(ctx, 1, index, (size,), (b"f" * 32,), b"e" * 32, share_set)
    return Upload(message("upload-header", index), header)


def close(survivors_hash: bytes = SHOWN, chain: bytes = CHAIN, mac: bytes = b"a" * 32) -> Close:
    return Close(CTX, 1, survivors_hash, chain, mac, 1, b"r" * 32)


def uploads_of(state: State) -> dict[int, Upload]:
    if isinstance(state, Agreed | Closed):
        return dict(state.published.uploads)
    return dict(state.uploads) if isinstance(state, Uploading | Folding | Published) else {}


class Round(RuleBasedStateMachine):
    """Five silos, four needed; every refusal must leave the state as it was."""

    @initialize(silos=st.integers(3, 5), threshold=st.integers(2, 5))
    def begin(self, silos: int, threshold: int) -> None:
        self.rules = Rules(silos, min(threshold, silos), 10.0)
        self.state: State = Uploading()
        self.now = 0.0
        self.frozen: dict[int, Upload] | None = None
        self.first_answers: dict[int, Signed] = {}
        self.rank = 0

    def step(self, new: State) -> None:
        self.state = new

    def attempt(self, call: object, *arguments: object) -> bool:
        before = self.state
        try:
            self.step(call(self.state, *arguments))  # type: ignore[operator]
        except ProtocolError:
            assert self.state is before
            return False
        return True

    @rule(index=silos, ctx=st.sampled_from([CTX, CTX, CTX, OTHER_CTX]), size=st.sampled_from([8, 8, 8, 9]))
    def upload(self, index: int, ctx: bytes, size: int) -> None:
        if index > self.rules.silos:
            return
        held = uploads_of(self.state)
        taken = self.attempt(rounds.uploaded, upload(index, ctx, size), self.rules, self.now)
        if taken:
            assert index not in held
            assert all(other.header.ctx == ctx and other.header.frame_bytes == (size,) for other in held.values())

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0, 10.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        before = self.state
        self.step(rounds.tick(self.state, self.rules, self.now))
        if isinstance(before, Folding | Agreed | Closed | Abandoned):
            assert self.state is before

    @rule()
    def somebody_waits(self) -> None:
        self.step(rounds.awaited(self.state, self.now))

    @rule()
    def publish(self) -> None:
        if isinstance(self.state, Folding):
            self.step(rounds.published(self.state, SURVIVORS, SHOWN, self.now))
        else:
            with pytest.raises(RuntimeError):
                rounds.published(self.state, SURVIVORS, SHOWN, self.now)

    @rule(index=silos, version=st.integers(0, 1), survivors_hash=st.sampled_from([SHOWN, SHOWN, SHOWN, OTHER]))
    def sign(self, index: int, version: int, survivors_hash: bytes) -> None:
        given = message("sign", index, version)
        if self.attempt(rounds.signed, index, given, Sign(CTX, 1, survivors_hash), self.rules):
            assert survivors_hash == SHOWN
            assert self.first_answers.setdefault(index, given) == given
            assert self.frozen is not None
            assert index in self.frozen

    @rule(index=silos, version=st.integers(0, 1), survivors_hash=st.sampled_from([SHOWN, SHOWN, OTHER]))
    def reject(self, index: int, version: int, survivors_hash: bytes) -> None:
        given = message("reject", index, version)
        if self.attempt(rounds.rejected, index, given, Reject(CTX, 1, survivors_hash, "sum.refused"), self.rules):
            assert survivors_hash == SHOWN
            assert self.first_answers.setdefault(index, given) == given

    @rule(
        index=silos, survivors_hash=st.sampled_from([SHOWN, SHOWN, OTHER]), chain=st.sampled_from([CHAIN, OTHER_CHAIN])
    )
    def close(self, index: int, survivors_hash: bytes, chain: bytes) -> None:
        before = self.state
        if self.attempt(rounds.closed, index, message("close", index), close(survivors_hash, chain), self.rules):
            assert isinstance(before, Agreed | Closed)
            assert all(other.chain == chain for _, other in before.closes.values())

    @invariant()
    def the_phase_never_goes_back(self) -> None:
        rank = RANK[type(self.state)]
        assert rank >= self.rank
        if self.rank == RANK[Abandoned]:
            assert isinstance(self.state, Abandoned)
        if self.rank in (RANK[Agreed], RANK[Closed]):
            assert isinstance(self.state, Agreed | Closed)
        self.rank = rank

    @invariant()
    def a_frozen_set_never_changes(self) -> None:
        if isinstance(self.state, Folding | Published | Agreed | Closed):
            now = uploads_of(self.state)
            self.frozen = self.frozen or now
            assert now == self.frozen
            assert list(now) == sorted(now)
            assert len(now) >= self.rules.threshold

    @invariant()
    def each_silo_is_in_the_set_at_most_once_and_agrees_on_the_context(self) -> None:
        held = uploads_of(self.state)
        assert all(index == one.header.silo_index for index, one in held.items())
        assert len({(one.header.ctx, one.header.frame_bytes) for one in held.values()}) <= 1

    @invariant()
    def agreement_needs_t_signs_and_an_end_needs_t_closes(self) -> None:
        if isinstance(self.state, Agreed | Closed):
            published = self.state.published
            assert len(published.signs) >= self.rules.threshold
            assert not set(published.signs) & set(published.rejects)
            assert len({(c.chain, c.sum_mac) for _, c in self.state.closes.values()}) <= 1
            assert set(self.state.closes) <= set(published.uploads)
            assert isinstance(self.state, Closed) == (len(self.state.closes) >= self.rules.threshold)

    @invariant()
    def the_board_shows_signed_messages_in_the_order_of_the_protocol(self) -> None:
        order = ["survivors", "upload-header", "sign", "close"]
        kinds = [order.index(shown.kind) for shown in rounds.board(self.state)]
        assert kinds == sorted(kinds)
        assert bool(kinds) == isinstance(self.state, Published | Agreed | Closed)


Round.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestRound = Round.TestCase

RULES = Rules(4, 3, 60.0)


def uploading(*indices: int, now: float = 0.0) -> State:
    state: State = Uploading()
    for index in indices:
        state = rounds.uploaded(state, upload(index), RULES, now)
    return state


def shown(*indices: int) -> State:
    state = uploading(*indices)
    return rounds.published(Folding(uploads_of(state)), SURVIVORS, SHOWN, 0.0)


def agreed(*indices: int) -> State:
    state = shown(*indices)
    for index in indices[:3]:
        state = rounds.signed(state, index, message("sign", index), Sign(CTX, 1, SHOWN), RULES)
    return state


def test_the_last_silo_freezes_the_set() -> None:
    assert isinstance(uploading(2, 1, 4), Uploading)
    state = uploading(2, 1, 4, 3)
    assert isinstance(state, Folding)
    assert list(state.uploads) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("present", "after"), [((), Uploading), ((1,), Abandoned), ((1, 3), Abandoned), ((1, 2, 4), Folding)]
)
def test_the_deadline_freezes_t_uploads_and_abandons_fewer(present: tuple[int, ...], after: type[State]) -> None:
    state = uploading(*present, now=5.0)
    assert rounds.tick(state, RULES, 64.9) == state
    assert isinstance(rounds.tick(state, RULES, 65.0), after)


def test_the_deadline_does_not_run_before_somebody_is_there() -> None:
    assert rounds.tick(Uploading(), RULES, 1e9) == Uploading()


def test_a_round_whose_uploads_were_all_lost_ends_when_silos_wait_for_it() -> None:
    state = rounds.awaited(Uploading(), 100.0)
    assert rounds.awaited(state, 150.0) == state
    assert rounds.tick(state, RULES, 160.0) == Abandoned("too_few_uploads")


def test_waiting_does_not_move_the_deadline_of_uploads() -> None:
    state = uploading(1, now=5.0)
    assert rounds.awaited(state, 50.0) == state


def test_too_few_signatures_abandon_the_round_at_its_deadline() -> None:
    state = rounds.signed(shown(1, 2, 3), 1, message("sign", 1), Sign(CTX, 1, SHOWN), RULES)
    assert rounds.tick(state, RULES, 59.0) is state
    assert rounds.tick(state, RULES, 60.0) == Abandoned("too_few_signatures")


def test_a_round_that_t_silos_agreed_on_is_never_abandoned() -> None:
    state = agreed(1, 2, 3)
    assert rounds.tick(state, RULES, 1e9) is state
    with pytest.raises(ProtocolError):
        rounds.rejected(state, 3, message("reject", 3), Reject(CTX, 1, SHOWN, "sum.refused"), RULES)


@pytest.mark.parametrize("state", [uploading(1, 2, 3, 4), shown(1, 2, 3), agreed(1, 2, 3), Abandoned("rejected")])
def test_a_late_upload_is_refused(state: State) -> None:
    with pytest.raises(ProtocolError) as caught:
        rounds.check_header(state, upload(4).header)
    assert caught.value.code == "upload.late"


def test_a_share_set_that_differs_is_refused() -> None:
    with pytest.raises(ProtocolError) as caught:
        rounds.check_header(uploading(1), upload(2, share_set=b"h" * 32).header)
    assert caught.value.code == "upload.shape"


def test_a_silo_that_is_left_out_can_neither_sign_nor_close() -> None:
    with pytest.raises(ProtocolError, match="not among the survivors"):
        rounds.signed(shown(1, 2, 3), 4, message("sign", 4), Sign(CTX, 1, SHOWN), RULES)
    with pytest.raises(ProtocolError, match="not among the survivors"):
        rounds.closed(agreed(1, 2, 3), 4, message("close", 4), close(), RULES)


@pytest.mark.parametrize("state", [shown(1, 2, 3, 4), agreed(1, 2, 3, 4)])
def test_a_second_different_signature_is_refused(state: State) -> None:
    first = rounds.signed(state, 1, message("sign", 1), Sign(CTX, 1, SHOWN), RULES)
    assert rounds.signed(first, 1, message("sign", 1), Sign(CTX, 1, SHOWN), RULES) == first
    for survivors_hash in (SHOWN, OTHER):
        with pytest.raises(ProtocolError):
            rounds.signed(first, 1, message("sign", 1, 1), Sign(CTX, 1, survivors_hash), RULES)


def test_a_late_signature_for_other_survivors_is_refused_after_agreement() -> None:
    with pytest.raises(ProtocolError) as caught:
        rounds.signed(agreed(1, 2, 3, 4), 4, message("sign", 4), Sign(CTX, 1, OTHER), RULES)
    assert caught.value.code == "survivors.unknown"


def test_rejects_abandon_the_round_once_t_can_no_longer_sign() -> None:
    state = rounds.rejected(shown(1, 2, 3, 4), 1, message("reject", 1), Reject(CTX, 1, SHOWN, "sum.refused"), RULES)
    assert isinstance(state, Published)
    state = rounds.rejected(state, 2, message("reject", 2), Reject(CTX, 1, SHOWN, "sum.refused"), RULES)
    assert state == Abandoned("rejected")


def test_a_silo_cannot_both_sign_and_reject() -> None:
    state = rounds.signed(shown(1, 2, 3, 4), 1, message("sign", 1), Sign(CTX, 1, SHOWN), RULES)
    with pytest.raises(ProtocolError):
        rounds.rejected(state, 1, message("reject", 1), Reject(CTX, 1, SHOWN, "sum.refused"), RULES)
    state = rounds.rejected(shown(1, 2, 3, 4), 1, message("reject", 1), Reject(CTX, 1, SHOWN, "sum.refused"), RULES)
    with pytest.raises(ProtocolError):
        rounds.signed(state, 1, message("sign", 1), Sign(CTX, 1, SHOWN), RULES)


@pytest.mark.parametrize("other", [close(chain=OTHER_CHAIN), close(mac=b"b" * 32)])
def test_a_close_that_differs_is_refused(other: Close) -> None:
    state = rounds.closed(agreed(1, 2, 3), 1, message("close", 1), close(), RULES)
    with pytest.raises(ProtocolError) as caught:
        rounds.closed(state, 2, message("close", 2), other, RULES)
    assert caught.value.code == "close.differs"


def test_a_close_before_agreement_is_refused() -> None:
    with pytest.raises(ProtocolError) as caught:
        rounds.closed(shown(1, 2, 3), 1, message("close", 1), close(), RULES)
    assert caught.value.code == "close.early"


@given(st.permutations([1, 2, 3, 4]))
def test_the_order_of_uploads_does_not_matter(order: list[int]) -> None:
    assert uploads_of(uploading(*order)) == uploads_of(uploading(1, 2, 3, 4))


def test_phases_are_those_of_the_wire() -> None:
    states: list[State] = [uploading(1), uploading(1, 2, 3, 4), shown(1, 2, 3), agreed(1, 2, 3), Abandoned("rejected")]
    phases = [Phase.UPLOADING, Phase.UPLOADING, Phase.SURVIVORS, Phase.SIGNED, Phase.ABANDONED]
    assert [rounds.phase(state) for state in states] == phases
    finished = agreed(1, 2, 3)
    assert isinstance(finished, Agreed)
    closes = {index: (message("close", index), close()) for index in (1, 2, 3)}
    assert rounds.phase(Closed(replace(finished.published), closes)) == Phase.CLOSED

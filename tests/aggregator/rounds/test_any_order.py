"""The state machine of a round under arbitrary orders of messages, repeats, lies and time."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aggregator.rounds import deadlines, setup, states, transitions
from aggregator.rounds.setup import Abandoned, Advertising, Rules, Setup, Sharing
from aggregator.rounds.states import Agreed, Closed, Folding, Published, State, Unmasked, Upload, Uploading
from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire.messages import (
    UNOPENABLE,
    Reject,
    Sign,
)
from privacy.wire.requests import Phase
from privacy.wire.sets import advertise_set_digest
from tests.aggregator.rounds.made_up import (
    CHAIN,
    CTX,
    FINAL,
    OTHER,
    OTHER_CHAIN,
    OTHER_CTX,
    SHOWN,
    SURVIVORS,
    advertise,
    close,
    message,
    setup_of,
    share_set_of,
    shares,
    unmask,
    unopenable,
    upload,
    uploads_of,
)

ORDER = (Advertising, Sharing, Uploading, Folding, Published, Agreed, Unmasked, Closed)
RANK = {kind: position for position, kind in enumerate(ORDER)}
silos = st.integers(1, 5)


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
            self.state = transitions.opened(self.state, self.now)  # type: ignore[unreachable]
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
        if self.attempt(transitions.uploaded if whole else transitions.begun, given):
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

    @rule(index=silos)
    def somebody_takes_a_frame(self, index: int) -> None:
        """The phase may last longer for it, by a patience, and not past the deadline of an upload."""
        before, due = self.state, deadlines.due_at(self.state, self.rules)
        self.state = deadlines.taken(before, index, self.now)
        public, later = states.shown(self.state), deadlines.due_at(self.state, self.rules)
        if public is None or due is None or later is None:
            assert self.state is before
        else:
            assert due <= later <= max(due, min(self.now + self.rules.patience, public.at + self.rules.deadline))

    @rule()
    def publish(self) -> None:
        if isinstance(self.state, Folding):
            self.state = transitions.published(self.state, SURVIVORS, SHOWN, self.now)
        else:
            with pytest.raises(RuntimeError):
                transitions.published(self.state, SURVIVORS, SHOWN, self.now)

    @rule(index=silos, version=st.integers(0, 1), survivors_hash=st.sampled_from([SHOWN, SHOWN, SHOWN, OTHER]))
    def sign(self, index: int, version: int, survivors_hash: bytes) -> None:
        given = message("sign", index, version)
        if self.attempt(transitions.signed, index, given, Sign(CTX, 1, survivors_hash), self.rules, self.now):
            assert survivors_hash == SHOWN
            assert index in uploads_of(self.state)
            self.final("answer", given, index)

    @rule(index=silos, version=st.integers(0, 1), survivors_hash=st.sampled_from([SHOWN, SHOWN, OTHER]))
    def reject(self, index: int, version: int, survivors_hash: bytes) -> None:
        given = message("reject", index, version)
        if self.attempt(transitions.rejected, index, given, Reject(CTX, 1, survivors_hash, "sum.refused"), self.rules):
            assert survivors_hash == SHOWN
            self.final("answer", given, index)

    @rule(index=silos, version=st.sampled_from([0, 0, 1]), survivors_hash=st.sampled_from([SHOWN, SHOWN, OTHER]))
    def reveal(self, index: int, version: int, survivors_hash: bytes) -> None:
        before, given = self.state, message("unmask", index, version)
        if self.attempt(transitions.unmasked, index, given, unmask(index, survivors_hash)):
            assert isinstance(before, Agreed)
            assert survivors_hash == SHOWN
            assert index in uploads_of(self.state)
            self.final("unmask", given, index)

    @rule(
        index=silos, survivors_hash=st.sampled_from([SHOWN, SHOWN, OTHER]), chain=st.sampled_from([CHAIN, OTHER_CHAIN])
    )
    def close(self, index: int, survivors_hash: bytes, chain: bytes) -> None:
        before = self.state
        if self.attempt(transitions.closed, index, message("close", index), close(survivors_hash, chain), self.rules):
            assert isinstance(before, FINAL)
            assert survivors_hash == SHOWN
            assert all(other.chain == chain for _, other in before.closes.values())

    @rule(index=silos, culprit=st.sampled_from([1, 1, 1, 2]), right=st.sampled_from([True, True, True, False]))
    def cannot_open(self, index: int, culprit: int, right: bool) -> None:
        before = self.state
        body = unopenable(before, culprit) if right else replace(unopenable(before, culprit), unmask_set=OTHER)
        if self.attempt(transitions.unopenable, index, body, self.rules):
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
        frozen = states.frozen_sets(self.state)
        if isinstance(self.state, Folding) or states.shown(self.state):
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
            found = states.board(self.state, phase)
            assert {shown.kind for shown in found} <= allowed
            assert not found or rank >= RANK[since]
            if rank >= RANK[since] and phase != Phase.SIGNED:
                assert found


Round.TestCase.settings = settings(max_examples=200, stateful_step_count=60)
TestRound = Round.TestCase

"""What time alone does to a round: at the instant that a state names, and not before."""

from dataclasses import replace

import pytest

from aggregator.rounds import deadlines, transitions
from aggregator.rounds.setup import Abandoned, Advertising, Sharing
from aggregator.rounds.states import Folding, State, Unmasked, Uploading
from privacy.errors import ProtocolError
from privacy.wire.messages import (
    Reject,
    Sign,
)
from tests.aggregator.rounds.made_up import (
    ALL,
    CTX,
    RULES,
    SHOWN,
    advertising,
    agreed,
    message,
    revealed,
    sharing,
    shown,
    unmask,
    uploading,
)


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
        state = transitions.unmasked(state, index, message("unmask", index), unmask(index))
    assert deadlines.tick(state, RULES, 19.9) is state
    ended = deadlines.tick(state, RULES, 20.0)
    assert isinstance(ended, Unmasked) if enough else ended == Abandoned("too_few_unmasked")


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
    state = transitions.signed(shown(1, 2, 3), 1, message("sign", 1), Sign(CTX, 1, SHOWN), RULES, 0.0)
    assert deadlines.tick(state, RULES, 19.0) is state
    assert deadlines.tick(state, RULES, 20.0) == Abandoned("too_few_signatures")


def test_a_round_whose_unmask_set_exists_is_never_abandoned_for_time_or_a_reject() -> None:
    state = revealed(1, 2, 3)
    assert deadlines.tick(state, RULES, 1e9) is state
    with pytest.raises(ProtocolError):
        transitions.rejected(state, 3, message("reject", 3), Reject(CTX, 1, SHOWN, "sum.refused"), RULES)


@pytest.mark.parametrize("state", [advertising(1), sharing(1), uploading(1), shown(1, 2, 3), agreed(1, 2, 3)])
def test_time_moves_a_state_at_the_instant_it_names_and_not_before(state: State) -> None:
    due = deadlines.due_at(state, RULES)
    assert due is not None
    assert deadlines.tick(state, RULES, due - 1e-6) is state
    assert deadlines.tick(state, RULES, due) is not state


def late(*signed: int) -> State:
    """A published sum of four silos, of which some signed, at a time when others have long spent their patience."""
    state = shown(*ALL)
    for index in signed:
        state = transitions.signed(state, index, message("sign", index), Sign(CTX, 1, SHOWN), RULES, 0.0)
    return state


def due(state: State) -> float:
    """The instant at which time ends a state, and not before."""
    found = deadlines.due_at(state, RULES)
    assert found is not None
    assert deadlines.tick(state, RULES, found - 1e-6) is state
    assert deadlines.tick(state, RULES, found) is not state
    return found


@pytest.mark.parametrize("state", [late(), late(1, 2), late(1, 2, 4)], ids=["none signed", "two did", "agreed"])
def test_while_an_awaited_silo_takes_frames_a_round_is_not_abandoned_and_soon_after_it_stops(state: State) -> None:
    now = 0.0
    while now + 19 < RULES.deadline - RULES.patience:
        now += 19
        state = deadlines.taken(state, 3, now)
        assert due(state) == now + RULES.patience


@pytest.mark.parametrize("state", [late(), late(1, 2)], ids=["none signed", "two did"])
def test_frames_hold_no_round_up_for_longer_than_an_upload_may_take(state: State) -> None:
    """However a silo takes them: one that takes a frame every 19 seconds and never answers has the deadline, once."""
    now = 0.0
    while now < RULES.deadline:
        assert deadlines.tick(state, RULES, now) is state
        state, now = deadlines.taken(state, 3, now), now + 19
    assert due(state) == RULES.deadline
    assert deadlines.tick(state, RULES, now) == Abandoned("too_few_signatures")


def test_who_agreed_late_has_the_patience_to_unmask_whatever_the_frames_took() -> None:
    state = deadlines.taken(late(1, 2), 4, RULES.deadline - 1)
    state = transitions.signed(state, 4, message("sign", 4), Sign(CTX, 1, SHOWN), RULES, RULES.deadline - 1)
    assert due(state) == RULES.deadline - 1 + RULES.patience
    assert due(deadlines.taken(state, 3, RULES.deadline)) == RULES.deadline - 1 + RULES.patience


def test_a_patience_that_is_longer_than_the_deadline_is_not_cut_by_frames() -> None:
    rules = replace(RULES, patience=100.0)
    assert deadlines.due_at(deadlines.taken(late(), 3, 10.0), rules) == 100.0


def test_frames_for_who_has_answered_or_is_in_no_sum_change_nothing() -> None:
    refused = transitions.rejected(late(1), 2, message("reject", 2), Reject(CTX, 1, SHOWN, "sum.refused"), RULES)
    for state, silos in ((refused, (1, 2, 9)), (shown(1, 2, 4), (3,))):
        assert all(deadlines.taken(state, silo, 15.0) is state for silo in silos)
    for index in (3, 4):
        refused = transitions.signed(refused, index, message("sign", index), Sign(CTX, 1, SHOWN), RULES, 0.0)
    assert deadlines.taken(refused, 2, 15.0) is refused, "who refused the sum is awaited no more"
    state = transitions.unmasked(agreed(*ALL), 1, message("unmask", 1), unmask(1))
    assert deadlines.taken(state, 1, 15.0) is state
    for state in (advertising(1), sharing(1), uploading(1), revealed(1, 2, 3), Abandoned("no")):
        assert deadlines.taken(state, 1, 15.0) is state


def test_a_round_that_t_silos_have_unmasked_waits_for_no_frame() -> None:
    """A silo that takes frames and does not answer holds up no round that goes on without it."""
    state = deadlines.taken(late(1, 2, 4), 3, 15.0)
    for index in (1, 2):
        state = transitions.unmasked(state, index, message("unmask", index), unmask(index))
    assert due(state) == 15.0 + RULES.patience
    state = transitions.unmasked(state, 4, message("unmask", 4), unmask(4))
    assert due(state) == RULES.patience
    assert isinstance(deadlines.tick(state, RULES, RULES.patience), Unmasked)


@pytest.mark.parametrize("state", [Advertising(), uploading(*ALL), Abandoned("no")])
def test_some_states_wait_for_something_else_than_time(state: State) -> None:
    assert deadlines.due_at(state, RULES) is None
    assert deadlines.tick(state, RULES, 1e9) is state

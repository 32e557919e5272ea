"""What time alone does to a round: at the instant that a state names, and not before."""

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


@pytest.mark.parametrize("state", [Advertising(), uploading(*ALL), Abandoned("no")])
def test_some_states_wait_for_something_else_than_time(state: State) -> None:
    assert deadlines.due_at(state, RULES) is None
    assert deadlines.tick(state, RULES, 1e9) is state

"""What time alone does to a round: when it moves next, and to which state. Pure; time is an argument.

Past its deadline a set of at least t is frozen, and a round that cannot go on is abandoned. A state without a deadline
waits for messages or for the aggregator's own work. Once an UnmaskSet exists a round is never abandoned.
"""

from dataclasses import replace

from aggregator.rounds.setup import Abandoned, Advertising, Rules, Setup, Sharing
from aggregator.rounds.states import Agreed, Folding, Published, State, Unmasked, Uploading
from aggregator.rounds.transitions import opened


def due_at(state: State, rules: Rules) -> float | None:
    """When time moves this state on, in the coordinator's seconds; None if it never does."""
    if isinstance(state, Advertising):
        return None if state.first_at is None else state.first_at + rules.patience
    if isinstance(state, Uploading):
        return state.at + rules.deadline
    if isinstance(state, Sharing | Published | Agreed):
        return state.at + rules.patience
    return None


def tick(state: State, rules: Rules, now: float) -> State:
    """The state at `now` if nothing but time passed."""
    due = due_at(state, rules)
    if due is None or now < due:
        return state
    if isinstance(state, Advertising):
        enough = len(state.advertised) >= rules.threshold
        return Sharing(state.advertised, now) if enough else Abandoned("too_few_advertised")
    if isinstance(state, Sharing):
        enough = len(state.shared) >= rules.threshold
        return opened(Setup(state.advertised, state.shared), now) if enough else Abandoned("too_few_shared")
    if isinstance(state, Uploading):
        enough = len(state.uploads) >= rules.threshold
        return Folding(state.setup, state.uploads) if enough else Abandoned("too_few_uploads")
    if isinstance(state, Agreed):
        enough = len(state.unmasks) >= rules.threshold
        return Unmasked(state.published, state.unmasks) if enough else Abandoned("too_few_unmasked")
    return Abandoned("too_few_signatures")


def awaited(state: State, now: float) -> State:
    """A silo waits for the others' keys: the patience runs, even if no silo can take part and none will come."""
    if isinstance(state, Advertising) and state.first_at is None:
        return replace(state, first_at=now)
    return state


def postponed(state: State, now: float) -> State:
    """The patience with the first exchange of a study starts again: fewer than t silos are there yet."""
    if isinstance(state, Advertising) and state.first_at is not None:
        return replace(state, first_at=now)
    return state

"""What time alone does to a round: when it moves next, and to which state. Pure; time is an argument.

Past its deadline a set of at least t is frozen, and a round that cannot go on is abandoned. A state without a deadline
waits for messages or for the aggregator's own work. Once an UnmaskSet exists a round is never abandoned.

The time for answers to the survivors runs anew with each frame that a silo takes from whom one is awaited: silos have
spent their budget by then, and a slow line is no reason to lose it. It holds no round up that has t answers, and none
for longer than the study gives to an upload.
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
    if isinstance(state, Published):
        return _postponed_by_frames(state, state.at, rules)
    if isinstance(state, Agreed) and len(state.unmasks) < rules.threshold:
        return _postponed_by_frames(state.published, state.at, rules)
    if isinstance(state, Sharing | Agreed):
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


def taken(state: State, silo: int, now: float) -> State:
    """A silo took a frame of the sum or of its audit: if an answer of it is awaited, the patience starts again."""
    if isinstance(state, Published) and silo in state.uploads.keys() - state.signs.keys() - state.rejects.keys():
        return replace(state, taken_at=now)
    if isinstance(state, Agreed):
        public = state.published
        if silo in public.uploads.keys() - state.unmasks.keys() - public.rejects.keys():
            return replace(state, published=replace(public, taken_at=now))
    return state


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


def _postponed_by_frames(public: Published, since: float, rules: Rules) -> float:
    """A patience after `since` or the last frame, but for frames not past the deadline of an upload."""
    return max(since + rules.patience, min(public.taken_at + rules.patience, public.at + rules.deadline))

"""How far a round is and who is awaited, from the coordinator's state. Pure; it decides nothing.

Names and counts of hospitals only: the aggregator knows nothing of patients that it could show.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from aggregator.rounds import setup
from aggregator.rounds.states import Agreed, Closed, Folding, Published, State, Unmasked, Uploading
from privacy.digest import Json
from privacy.study import Study

FINISHED = "finished"


@dataclass(frozen=True)
class View:
    """The newest round of a study.

    Attributes:
        study: name of the study.
        silos: names of all silos, in the order of the roster.
        round: number of the newest round.
        rounds: how many rounds the study has; the last one only evaluates.
        phase: what happens in it.
        done: silos that have done their part of this phase.
        begun: silos that are sending now.
        awaited: silos that this phase waits for; more than are needed, perhaps.
        needed: how many silos this phase needs.
        revoked: silos that the consortium revoked.
        seconds_left: until the phase ends without those awaited, if they take no frame till then; None: never.
        halted: why no round can close until people act; empty when one can.
    """

    study: str
    silos: tuple[str, ...]
    round: int
    rounds: int
    phase: str
    done: tuple[str, ...]
    begun: tuple[str, ...]
    awaited: tuple[str, ...]
    needed: int
    revoked: tuple[str, ...]
    seconds_left: float | None
    halted: str

    def to_json(self) -> dict[str, Json]:
        """Plain data."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def view(
    study: Study, number: int, state: State, revoked: frozenset[int], seconds_left: float | None, refused: int
) -> View:
    """What a person is told of a state; `refused` is the newest round whose sum silos refused, if none closed since."""
    names = tuple(silo.name for silo in study.roster.silos)
    everyone = frozenset(range(1, len(names) + 1)) - revoked
    phase, done, begun, expected = _of(state, everyone)
    total = study.training.rounds + 1
    if number > total:
        phase, done, begun, expected, number = FINISHED, frozenset(), frozenset(), frozenset(), total

    def named(indices: Iterable[int]) -> tuple[str, ...]:
        return tuple(names[index - 1] for index in sorted(indices))

    return View(
        study=study.name,
        silos=names,
        round=number,
        rounds=total,
        phase=phase,
        done=named(done),
        begun=named(begun - done),
        awaited=named(expected - done),
        needed=study.roster.threshold,
        revoked=named(revoked),
        seconds_left=None if seconds_left is None else max(0.0, round(seconds_left, 1)),
        halted="" if phase == FINISHED else _halt(state, len(everyone), study.roster.threshold, refused),
    )


def _halt(state: State, silos: int, threshold: int, refused: int) -> str:
    """Why the rounds cannot go on with these silos; empty when they can.

    A silo that refused a sum waits for a person. Until t take part again, each round after that is abandoned.
    """
    if silos < threshold:
        return f"{silos} silos are not revoked, and {threshold} are needed"
    few = isinstance(state, setup.Advertising) and len(state.advertised) < threshold
    if refused and (few or isinstance(state, setup.Abandoned)):
        return f"silos refused the sum of round {refused} and wait until a person there acts"
    return ""


_Told = tuple[str, frozenset[int], frozenset[int], frozenset[int]]


def _of(state: State, everyone: frozenset[int]) -> _Told:
    """Phase, silos that are done, that began, and that are expected."""
    none: frozenset[int] = frozenset()
    if isinstance(state, setup.Advertising):
        return "exchanging keys", frozenset(state.advertised), none, everyone
    if isinstance(state, setup.Sharing):
        return "exchanging shares", frozenset(state.shared), none, frozenset(state.advertised)
    if isinstance(state, Uploading):
        return "training and uploading", frozenset(state.uploads), frozenset(state.begun), frozenset(state.setup.shared)
    if isinstance(state, Folding):
        return "adding", frozenset(state.uploads), none, none
    if isinstance(state, Published):
        return "signing survivors", frozenset(state.signs), none, frozenset(state.uploads)
    if isinstance(state, Agreed):
        return "unmasking", frozenset(state.unmasks), none, frozenset(state.published.signs)
    if isinstance(state, Unmasked):
        return "opening", frozenset(state.closes), none, frozenset(state.published.uploads)
    if isinstance(state, Closed):
        return "closed", frozenset(state.closes), none, everyone
    return f"abandoned ({state.reason})", none, none, none

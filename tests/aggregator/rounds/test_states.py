"""What a state shows is a phase of the wire."""

from dataclasses import replace

from aggregator.rounds import states
from aggregator.rounds.setup import Abandoned
from aggregator.rounds.states import Closed, State, Unmasked
from privacy.wire.requests import Phase
from tests.aggregator.rounds.made_up import (
    ALL,
    advertising,
    agreed,
    close,
    message,
    revealed,
    sharing,
    shown,
    uploading,
)


def test_phases_are_those_of_the_wire() -> None:
    passed: list[State] = [
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
    assert [states.phase(state) for state in passed] == phases
    finished = revealed(1, 2, 3)
    assert isinstance(finished, Unmasked)
    closes = {index: (message("close", index), close()) for index in (1, 2, 3)}
    assert states.phase(Closed(replace(finished.published), finished.unmasks, closes)) == Phase.CLOSED

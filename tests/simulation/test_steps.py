"""Each process is ended, and each disk refuses, at each of its steps in turn, while nothing else happens."""

from collections.abc import Callable

import pytest

from tests.simulation.conftest import Stage
from tests.simulation.operations import Disk, Kill, Operation

TROUBLES: dict[str, Callable[[int, int], Operation]] = {
    "kill": Kill,
    "reboot": lambda party, step: Kill(party, step, after=30, reboot=True),
    "full": lambda party, step: Disk(party, step, writes=2),
}
STRIDE = 40


def play_all(stage: Stage, party: int, trouble: str, first: int, stride: int) -> None:
    play = stage(4, 1)
    total = play(()).party(party).steps
    assert total > 150
    for step in range(first, total, stride):
        world = play((TROUBLES[trouble](party, step),))
        assert trouble == "full" or any(f"step {step}: killed" in line for line in world.log)


@pytest.mark.parametrize("party", [0, 2], ids=["aggregator", "member"])
def test_a_kill_at_some_steps(stage: Stage, party: int) -> None:
    play_all(stage, party, "kill", first=7, stride=STRIDE)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("party", [0, 1, 2], ids=["aggregator", "steward", "member"])
def test_trouble_at_every_step(stage: Stage, party: int, trouble: str) -> None:
    play_all(stage, party, trouble, first=1, stride=1)

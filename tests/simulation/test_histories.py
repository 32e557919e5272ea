"""Generated histories: whatever happens to whom and when, the invariants hold.

`COLLEGIUM_HISTORIES` says how many are played in all and `COLLEGIUM_SECONDS` for how long at most, which is a failure
where there are then fewer than `COLLEGIUM_HISTORIES_AT_LEAST`; `COLLEGIUM_SEED` chooses which. A failing one is shrunk
and printed as a literal: keep it in `test_found`.
"""

import os
import time

import pytest
from hypothesis import HealthCheck, given, seed, settings

from tests.simulation.conftest import Stage
from tests.simulation.operations import Fault, Operation, Way, histories

HISTORIES = int(os.environ.get("COLLEGIUM_HISTORIES", "16"))
SECONDS = float(os.environ.get("COLLEGIUM_SECONDS", "900"))
LEAST = int(os.environ.get("COLLEGIUM_HISTORIES_AT_LEAST", "0"))
SEED = int(os.environ.get("COLLEGIUM_SEED", "0"))
PARTS = 8
SIZES = (
    (4, 1, False),
    (3, 1, False),
    (4, 1, False),
    (5, 1, False),
    (4, 2, False, 5),
    (4, 1, True),
    (3, 2, False),
    (4, 1, False),
)
"""Of each part: silos, rounds that train (one more has only metrics), cosigning or not, seconds of an upload slot."""


@pytest.fixture(scope="module")
def started() -> float:
    """When the first part began."""
    return time.monotonic()


@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("part", range(PARTS))
def test_the_invariants_hold_in_every_history(stage: Stage, started: float, part: int) -> None:
    silos = SIZES[part][0]
    # What earlier parts left of their time is this one's: some take five times as long as others.
    play, end, played = stage(*SIZES[part]), started + SECONDS * (part + 1) / PARTS, 0
    began = time.process_time()

    @seed(SEED * PARTS + part)
    @settings(
        max_examples=-(-HISTORIES // PARTS),
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(histories(silos))
    def every(operations: tuple[Operation, ...]) -> None:
        nonlocal played
        if time.monotonic() < end:
            played += 1
            play(operations)

    every()
    print(f"{played} histories of {silos} silos, {time.process_time() - began:.0f} s of a processor")
    assert played >= LEAST / PARTS, "time was over before so many were played; give it more COLLEGIUM_SECONDS"


def test_a_history_in_which_nothing_happens_ends_with_every_silo_in_every_sum(
    stage: Stage,
) -> None:
    world = stage(4, 2, True)(())
    assert all(reasons == ["finished"] for reasons in world.reasons.values())
    assert {(one.round_number, one.members) for one in world.opened} == {(n, (1, 2, 3, 4)) for n in (1, 2, 3)}
    assert len(world.opened) == 12


def test_an_upload_that_breaks_off_at_any_part_goes_on(stage: Stage) -> None:
    play = stage(4, 1)
    for parts in range(3):
        worlds = [play((Fault(silo=2, call=call, way=Way.BROKEN, parts=parts),)) for call in range(11, 19)]
        assert any("/Upload: stream broken" in line for world in worlds for line in world.log)
        assert all(reasons == ["finished"] for world in worlds for reasons in world.reasons.values())

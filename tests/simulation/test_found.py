"""Histories that once broke an invariant, as they were shrunk; each is named for what was wrong."""

from collections.abc import Callable

from tests.simulation.conftest import Play
from tests.simulation.operations import Disk

Stage = Callable[[int, int], Play]


def test_a_full_disk_at_the_aggregator_costs_no_silo_its_round(stage: Stage) -> None:
    """Silos ended with the aggregator's error as if it were their own, and sat the round out."""
    world = stage(4, 1)((Disk(party=0, step=57, writes=2),))
    assert world.reasons[1] == ["finished"]


def test_a_disk_that_refuses_to_erase_secrets_is_a_storage_error(stage: Stage) -> None:
    """It was an OSError that nothing translates, so the program ended with a traceback."""
    world = stage(4, 1)((Disk(party=4, step=53, writes=5, full=False),))
    assert "storage.failed" in world.reasons[4]

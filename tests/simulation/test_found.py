"""Histories that once broke an invariant, as they were shrunk; each is named for what was wrong."""

from tests.simulation.conftest import Stage
from tests.simulation.operations import Disk


def test_a_full_disk_at_the_aggregator_costs_no_silo_its_round(stage: Stage) -> None:
    """Silos ended with the aggregator's error as if it were their own, and sat the round out."""
    world = stage(4, 1)((Disk(party=0, step=57, writes=2),))
    assert any("aggregator, step 57: the disk refuses" in line for line in world.log)
    assert all(reasons == ["finished"] for reasons in world.reasons.values())


def test_a_disk_that_refuses_to_erase_secrets_is_a_storage_error(stage: Stage) -> None:
    """It was an OSError that nothing translates, so the program ended with a traceback."""
    world = stage(4, 1)((Disk(party=4, step=54, writes=5, full=False),))
    assert any("silo 4" in line and "refuses as it syncs secrets" in line for line in world.log)

"""Histories that once broke an invariant, as they were shrunk; each is named for what was wrong."""

from tests.simulation.conftest import Stage
from tests.simulation.operations import Disk, Restore


def test_a_full_disk_at_the_aggregator_costs_no_silo_its_round(stage: Stage) -> None:
    """Silos ended with the aggregator's error as if it were their own, and sat the round out."""
    world = stage(4, 1)((Disk(party=0, step=57, writes=2),))
    assert any("aggregator, step 57: the disk refuses" in line for line in world.log)
    assert all(reasons == ["finished"] for reasons in world.reasons.values())


def test_a_disk_that_refuses_to_erase_secrets_is_a_storage_error(stage: Stage) -> None:
    """It was an OSError that nothing translates, so the program ended with a traceback."""
    world = stage(4, 1)((Disk(party=4, step=54, writes=5, full=False),))
    assert any("silo 4" in line and "refuses as it syncs secrets" in line for line in world.log)


def test_a_folder_from_between_the_begin_of_a_round_and_its_charge_does_not_forget_the_charge(stage: Stage) -> None:
    """Witnesses know that the round was opened, as its copy does, and not that it was trained."""
    world = stage(4, 1)((Restore(party=1, copied=47, step=116),))
    assert (1, 1) in world.trained
    incidents = [entry.body["code"] for entry in world.entries(1) if entry.kind == "incident"]
    assert incidents == ["round.may_have_trained"]


def test_an_old_copy_of_the_aggregator_does_not_keep_all_silos_waiting(stage: Stage) -> None:
    """It waited for silos to begin the first round again, and they for a round that it did not know."""
    world = stage(4, 1)((Restore(party=0, copied=1, step=197),))
    assert any("an old copy comes back" in line for line in world.log)
    assert all(reasons == ["finished"] for reasons in world.reasons.values())

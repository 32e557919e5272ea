"""Histories that once broke an invariant, as they were shrunk; each is named for what was wrong.

Steps move when the protocol changes. A case that must meet a certain step is looked for around the one where it was
found, and fails if it is there no more.
"""

from collections.abc import Iterable

import pytest

from tests.simulation.conftest import Play, Stage
from tests.simulation.operations import (
    Cut,
    Disk,
    Expire,
    Fault,
    Join,
    Jump,
    Kill,
    Leave,
    Operation,
    Restore,
    Revoke,
    Slow,
    Way,
)
from tests.simulation.world import World


def meeting(play: Play, histories: Iterable[tuple[Operation, ...]], event: str) -> World:
    """The first of these histories in whose log the event is; all that are played must hold."""
    for operations in histories:
        world = play(operations)
        if any(event in line for line in world.log):
            return world
    pytest.fail(f"no history in which: {event}")


def test_a_full_disk_at_the_aggregator_costs_no_silo_its_round(stage: Stage) -> None:
    """Silos ended with the aggregator's error as if it were their own, and sat the round out."""
    world = stage(4, 1)((Disk(party=0, step=57, writes=2),))
    assert any("the disk refuses" in line for line in world.log)
    assert all(reasons == ["finished"] for reasons in world.reasons.values())


def test_slow_lines_do_not_lose_a_round_that_all_have_paid_for(stage: Stage) -> None:
    """The download of the sum and of audited frames had the time of one small message, though frames moved."""
    world = stage(4, 1)((Slow(silo=2, training=0, milliseconds=2000), Slow(silo=3, training=0, milliseconds=2000)))
    assert all(reasons == ["finished"] for reasons in world.reasons.values())
    assert [(one.round_number, one.members) for one in world.opened][:4] == [(1, (1, 2, 3, 4))] * 4


def test_a_disk_that_refuses_to_erase_secrets_is_a_storage_error(stage: Stage) -> None:
    """It was an OSError that nothing translates, so the program ended with a traceback."""
    around = ((Disk(party=4, step=step, writes=5, full=False),) for step in range(52, 70))
    meeting(stage(4, 1), around, "the disk refuses as it syncs secrets")


def test_a_folder_from_between_the_begin_of_a_round_and_its_charge_does_not_forget_the_charge(stage: Stage) -> None:
    """Witnesses know that the round was opened, as its copy does, and not that it was trained."""
    around = ((Restore(party=1, copied=copied, step=116),) for copied in range(44, 60))
    world = meeting(stage(4, 1), around, "round.may_have_trained")
    assert (1, 1) in world.trained


def test_an_old_copy_of_the_aggregator_does_not_keep_all_silos_waiting(stage: Stage) -> None:
    """It waited for silos to begin the first round again, and they for a round that it did not know."""
    world = meeting(stage(4, 1), [(Restore(party=0, copied=1, step=139),)], "an old copy comes back")
    assert all(reasons == ["finished"] for reasons in world.reasons.values())


def test_an_old_copy_of_the_aggregator_amid_the_exchange_of_keys_gets_what_it_lost_again(stage: Stage) -> None:
    """Silos waited for grants of requests that it had no more, and the study for t silos that begin."""
    world = meeting(stage(4, 2, False, 5), [(Restore(party=0, copied=1, step=41),)], "an old copy comes back")
    assert all(reasons == ["finished"] for reasons in world.reasons.values())
    assert {(one.round_number, one.members) for one in world.opened} == {(n, (1, 2, 3, 4)) for n in (1, 2, 3)}


def test_a_silo_that_is_killed_before_it_trains_is_not_charged(stage: Stage) -> None:
    """The round's secrets, which are there after a kill, show that no patient was read."""
    world = meeting(stage(4, 1), [(Kill(party=4, step=64, after=25),)], "silo 4, step 64: killed")
    assert (4, 1) not in world.trained
    assert not [entry for entry in world.entries(4) if entry.kind == "reserved"]


def test_a_silo_that_comes_too_late_with_its_shares_says_so_in_its_ledger(stage: Stage) -> None:
    """The round went on without it, and nothing told why."""
    history = (Join(silo=3, at=10), Cut(silo=4, at=9, seconds=40))
    world = meeting(stage(4, 1), [history], "silo 4 notes: round 1: our keys or shares came too late")
    assert (4, 1) not in world.trained


def test_a_disk_that_is_full_as_a_round_closes_does_not_keep_the_next_from_beginning(stage: Stage) -> None:
    """The round was closed in memory and not in the ledger; sent again, the Close changed nothing, and all waited."""
    play, refused = stage(4, 1), 0
    for step in range(138, 260):  # which step it is changes with what else is written
        world = play((Disk(party=0, step=step, writes=2),))
        refused += any("refuses as it syncs .head.json.new" in line for line in world.log)
        assert all(reasons == ["finished"] for reasons in world.reasons.values())
        assert {one.members for one in world.opened if one.round_number == 2} == {(1, 2, 3, 4)}
        if refused:
            break
    assert refused


def test_a_charge_that_only_the_other_silos_can_tell_of_is_entered_before_the_next_training(stage: Stage) -> None:
    """Silo and aggregator were put back together: nobody was asked who knew that the silo had trained."""
    around = ((Restore(0, 1, 63), Restore(party=2, copied=1, step=step)) for step in range(92, 110))
    world = meeting(stage(4, 2, False, 5), around, "knows it with 3. Entries may be lost")
    assert (2, 1) in world.trained
    assert 1 in [entry.body["round"] for entry in world.entries(2) if entry.kind == "reserved"]


def test_an_aggregator_put_back_from_the_last_round_to_the_first_lets_the_study_end(stage: Stage) -> None:
    """It waited for Closes of a round that silos had left behind, or that only the one before told of."""
    for copied, step in ((105, 116), (103, 185)):
        world = meeting(stage(4, 2, False, 5), [(Restore(0, copied, step),)], "an old copy comes back")
        assert all(reasons == ["finished"] for reasons in world.reasons.values())


def test_a_silo_that_comes_too_late_follows_also_when_a_member_was_revoked_since(stage: Stage) -> None:
    """It stopped as if the aggregator had admitted a revoked silo; the keys had been exchanged before."""
    history = (Fault(1, 1, Way.REQUEST), Join(silo=2, at=21), Revoke(silo=1, at=21))
    world = meeting(stage(4, 1, True), [history], "identity.revoked")
    assert world.reasons[2] != ["round.revoked"]


def test_a_silo_waits_for_others_that_want_a_persons_word_as_the_aggregator_forgot_them(stage: Stage) -> None:
    """They had finished, and are started for its sake; they do not go on with an aggregator that lost what it knew."""
    world = meeting(stage(4, 2, False, 5), [(Restore(0, 19, 227), Restore(3, 39, 289))], "[witness.forgot]")
    assert world.reasons[3][-1] == "ledger.rolled_back"
    assert all(world.reasons[silo][-1] == "witness.forgot" for silo in (1, 2, 4))


def test_what_silos_say_again_while_they_wait_is_not_written_again(stage: Stage) -> None:
    """Two of three waited for a third one's Close for days, and each of their polls cost the aggregator a write."""
    world = meeting(stage(3, 1), [(Leave(silo=1, step=212),)], "killed before it has the answer to")
    assert world.scheduler.now < 1000


def test_a_steward_put_back_to_before_its_key_makes_no_other(stage: Stage) -> None:
    """It made a second one, and all stopped when they saw it; the aggregator shows it its own announcement."""
    for step in (29, 36, 42):
        slow, back = Slow(silo=2, training=0, milliseconds=1), Restore(party=1, copied=1, step=step)
        world = meeting(stage(4, 2, False, 5), [(slow, back)], "an old copy comes back")
        assert all(reasons[-1] == "finished" for reasons in world.reasons.values())


def test_a_steward_and_an_aggregator_put_back_to_before_the_key_open_nothing_with_two(stage: Stage) -> None:
    """Not mended: a person signs a new epoch. The charge of what the steward trained is there all the same."""
    around = ((Restore(0, 1, 63), Restore(party=1, copied=1, step=step)) for step in range(92, 110))
    world = meeting(stage(4, 2, False, 5), around, "round.split_view")
    assert (1, 1) in world.trained
    assert not world.opened
    assert 1 in [entry.body["round"] for entry in world.entries(1) if entry.kind == "reserved"]


def test_silos_outwait_an_expired_certificate_of_the_aggregator(stage: Stage) -> None:
    """They ended as if it were their own, with an exit code that no service manager starts again."""
    around = ((Expire(party=0, at=1, renewed=115), Kill(party=2, step=step)) for step in range(66, 80))
    world = meeting(stage(4, 1), around, "opens no line")
    assert world.reasons[2] == ["killed", "peer.certificate_expired", "finished"]
    assert all(reasons == ["finished"] for silo, reasons in world.reasons.items() if silo != 2)


def test_an_aggregator_that_is_killed_while_its_certificate_is_expired_goes_on_once_it_is_renewed(stage: Stage) -> None:
    around = ((Expire(party=0, at=1, renewed=60), Kill(party=0, step=step)) for step in range(60, 70))
    world = meeting(stage(4, 1), around, "ended: our own certificate expired")
    assert all(reasons == ["finished"] for reasons in world.reasons.values())


def test_a_certificate_that_the_aggregators_clock_refused_is_served_once_the_clock_is_set(stage: Stage) -> None:
    """It was looked at once, and then not until the next start."""
    clocks = (Jump(party=0, at=110, hours=-327), Jump(party=3, at=37, hours=-506))
    slow = Slow(silo=3, training=38, milliseconds=5000)
    history = (Expire(party=0, at=17, renewed=90), Kill(party=0, step=1, after=0), slow, *clocks)
    world = meeting(stage(4, 2, False, 5), [history], "its clock is set")
    assert all(reasons[-1] == "finished" for reasons in world.reasons.values())


def test_a_certificate_that_is_over_by_the_aggregators_clock_alone_is_taken_once_the_clock_is_set(stage: Stage) -> None:
    """The simulated person tried the same renewal again, for ever."""
    history = (Expire(party=0, at=6, renewed=46), Jump(party=0, at=0, hours=958))
    world = meeting(stage(4, 1), [history], "its clock is set")
    assert all(reasons == ["finished"] for reasons in world.reasons.values())


def test_a_steward_put_back_to_before_a_key_under_which_it_said_something_does_not_stop_the_study(stage: Stage) -> None:
    """It sent keys of round 1 before anybody was handed the epoch's; it made another, and all who saw it stopped."""
    play = stage(4, 1)
    for step in range(42, 70, 8):
        world = meeting(play, [(Restore(party=1, copied=1, step=step),)], "an old copy comes back")
        assert all(reasons[-1] == "finished" for reasons in world.reasons.values())


def test_a_steward_and_the_one_silo_that_was_handed_the_key_may_lose_it_together(stage: Stage) -> None:
    """Not mended: a person signs the study again. The one's request outlived it, and the others had not asked yet.

    It asks again before the steward is back, or after: the steward makes another key, or waits for the first.
    """
    play, lost = stage(4, 1), Kill(party=2, step=28, after=0)
    alone = (Join(silo=3, at=2), Join(silo=4, at=2))
    around = ((Restore(party=1, copied=1, step=step), lost, *alone) for step in range(56, 64, 2))
    assert not meeting(play, around, "round.split_view").trained
    lost = Kill(party=2, step=28, after=9)
    around = ((Restore(party=1, copied=1, step=step), lost, *alone) for step in range(40, 64, 2))
    assert any(not world.ended and not world.trained for world in map(play, around))


def test_a_steward_is_not_kept_waiting_for_a_silo_that_asks_where_all_have_the_key(stage: Stage) -> None:
    """The aggregator's old copy does not know whom it handed it; it goes on when the others' round has ended."""
    around = ((Restore(party=0, copied=1, step=step), Kill(party=1, step=38, after=60)) for step in range(46, 60, 2))
    world = meeting(stage(3, 1), around, "silo 1 notes: round 1: too_few_advertised")
    assert all(reasons[-1] == "finished" for reasons in world.reasons.values())

"""Who is awaited in each phase, walked through by real messages over the real coordinator."""

from aggregator.operations.view import FINISHED
from tests.aggregator.hub import Hub


def told(hub: Hub) -> tuple[int, str, tuple[str, ...], tuple[str, ...]]:
    seen = hub.coordinator.view()
    return seen.round, seen.phase, seen.done, seen.awaited


def test_a_round_from_its_first_key_to_its_end(hub: Hub) -> None:
    everyone = ("north", "south", "east")
    assert told(hub) == (1, "exchanging keys", (), everyone)
    hub.advertise(1)
    assert told(hub) == (1, "exchanging keys", ("north",), ("south", "east"))
    hub.advertise(2)
    hub.advertise(3)
    assert told(hub) == (1, "exchanging shares", (), everyone)
    for index in hub.everyone:
        hub.share(index)
    assert told(hub) == (1, "training and uploading", (), everyone)
    uploads = hub.upload_all(1, (1, 2))
    assert told(hub) == (1, "training and uploading", ("north", "south"), ("east",))
    assert uploads
    assert (hub.coordinator.view().seconds_left or 0) > 0
    hub.upload_all(1, (3,))
    assert told(hub) == (1, "adding", everyone, ())
    hub.work()
    assert told(hub) == (1, "signing survivors", (), everyone)
    for index in hub.everyone:
        hub.sign(index)
    assert told(hub) == (1, "unmasking", (), everyone)
    for index in hub.everyone:
        hub.unmask(index)
    assert told(hub)[1] == "opening"
    for index in hub.everyone:
        hub.close(index)
    assert told(hub) == (2, "exchanging keys", (), everyone)


def test_a_silo_that_sends_is_told_from_one_that_does_not(hub: Hub) -> None:
    from tests.aggregator.made_up_upload import MadeUpUpload

    hub.set_up()
    upload = MadeUpUpload.random(hub, 2)
    hub.begin(2, upload.header)
    seen = hub.coordinator.view()
    assert (seen.done, seen.begun, seen.awaited) == ((), ("south",), ("north", "south", "east"))


def test_a_revoked_silo_is_not_awaited(hub: Hub) -> None:
    hub.coordinator.relay(hub.members.statement, frozenset({2}))
    seen = hub.coordinator.view()
    assert (seen.revoked, seen.awaited) == (("south",), ("north", "east"))


def test_a_study_that_is_over(hub: Hub) -> None:
    rounds = hub.members.study.training.rounds + 1
    with hub.coordinator._changed:
        hub.coordinator._course.follow(rounds)
    seen = hub.coordinator.view()
    assert (seen.round, seen.phase, seen.awaited) == (rounds, FINISHED, ())

"""What the aggregator signs is stored first: whoever stops it then finds the same list and the same sum again."""

from hashlib import sha256

from aggregator.rounds.coordinator import Coordinator
from aggregator.rounds.publication import Publication
from aggregator.rounds.states import Folding, Published
from privacy.digest import protocol_hash
from privacy.wire import bodies
from privacy.wire.messages import Abandon, Survivors
from tests.aggregator.hub import Hub


def publication(coordinator: Coordinator) -> Publication:
    return coordinator._publication


def test_a_sum_and_who_is_in_it_are_stored_and_taken_up_again(hub: Hub) -> None:
    hub.upload_all()
    state = hub.coordinator._course.states[1]
    assert isinstance(state, Folding)
    made = publication(hub.coordinator)
    message, survivors_hash = made.sum(1, state)
    survivors = bodies.open_signed(message, Survivors, hub.members.hub.keys.public_identity)
    assert [index for index, _ in survivors.members] == [1, 2, 3]
    assert survivors_hash == protocol_hash("survivors", message.body)
    assert survivors.sum_frame_sha256 == (sha256(made.store.round(1).sum_frame(0)).digest(),)
    hub.restart()
    taken_up = hub.coordinator._course.states[1]
    assert isinstance(taken_up, Published)
    assert (taken_up.survivors, taken_up.survivors_hash) == (message, survivors_hash)


def test_an_abandonment_is_signed_with_its_reason_and_leaves_no_frame(hub: Hub) -> None:
    hub.upload_all()
    made = publication(hub.coordinator)
    made.abandonment(1, "too_few_uploads")
    stored = made.store.round(1).get("abandon")
    assert stored is not None
    body = bodies.open_signed(stored, Abandon, hub.members.hub.keys.public_identity)
    assert (body.round_number, body.reason, body.study_digest) == (1, "too_few_uploads", made.study.digest())
    assert not list((hub.root / "study/frames").iterdir())

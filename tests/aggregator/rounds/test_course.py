"""What patience and deadlines do to rounds of real messages: who is missing is left out, or the round ends."""

import pytest

from privacy.errors import ProtocolError
from privacy.wire import bodies
from privacy.wire.messages import Abandon, Sign, Survivors
from privacy.wire.requests import Phase
from tests.aggregator.hub import DEADLINE, PATIENCE, Hub
from tests.aggregator.made_up_upload import MadeUpUpload
from tests.aggregator.members import context
from tests.aggregator.rounds.steps import agree, await_round, ended, opened


def test_too_few_uploads_at_the_deadline_abandon_the_round_and_open_the_next(hub: Hub) -> None:
    hub.upload_all(silos=(1, 2))
    late = MadeUpUpload.random(hub, 3)
    hub.now = DEADLINE - 0.1
    hub.work()
    assert hub.board(1, Phase.SURVIVORS).reached is False
    hub.now = DEADLINE
    hub.work()
    board = hub.board(1, Phase.SURVIVORS)
    assert opened(hub, board.messages[0], Abandon).reason == "too_few_uploads"
    with pytest.raises(ProtocolError) as caught:
        hub.upload(late)
    assert caught.value.code == "round.not_open"
    hub.upload_all(2)


def test_a_round_that_nobody_can_join_ends_once_silos_wait_for_it(hub: Hub) -> None:
    hub.now = 10 * PATIENCE
    hub.board(1, Phase.ADVERTISED)
    hub.now = 20 * PATIENCE
    hub.work()
    await_round(hub)
    hub.now += PATIENCE
    hub.work()
    assert ended(hub) == "too_few_advertised"


@pytest.mark.parametrize("looks", [0, 3])
def test_a_study_begins_when_enough_silos_are_there_however_long_that_takes(large: Hub, looks: int) -> None:
    """Whether the aggregator woke in between or not."""
    threshold = large.members.study.roster.threshold
    for index in range(1, threshold):
        large.advertise(index)
        for _ in range(looks):
            large.now += 10 * PATIENCE
            large.work()
        large.now += 0.9 * PATIENCE
    assert large.coordinator.progress() == (1, Phase.KEYS_GRANTED)
    large.advertise(threshold)
    large.now += PATIENCE - 1
    large.work()
    assert not large.board(1, Phase.ADVERTISED).reached, "the others have the whole patience from here"
    large.now += 1
    large.work()
    assert len(large.board(1, Phase.ADVERTISED).messages) == threshold < len(large.members.silos)


def test_a_silo_that_only_waits_counts_as_there(large: Hub) -> None:
    await_round(large)
    large.advertise(1)
    large.now += PATIENCE
    large.work()
    assert ended(large) == "too_few_advertised"


def test_a_round_whose_uploads_were_all_lost_ends(hub: Hub) -> None:
    hub.set_up()
    hub.now = DEADLINE
    hub.work()
    assert ended(hub) == "too_few_uploads"


@pytest.mark.parametrize("present", [(1,), (1, 4)])
def test_too_few_keys_or_shares_abandon_the_round(large: Hub, present: tuple[int, ...]) -> None:
    for index in present:
        large.advertise(index)
    await_round(large)
    large.now += PATIENCE
    large.work()
    assert ended(large, 1) == "too_few_advertised"
    for index in large.everyone:
        large.advertise(index, 2)
    for index in present:
        large.share(index, 2)
    large.now += PATIENCE
    large.work()
    assert ended(large, 2) == "too_few_shared"


def test_each_step_may_lose_a_silo_as_long_as_t_are_left(large: Hub) -> None:
    """Of four silos one is missing in each set, and another one in each: three are enough every time."""
    for index in large.everyone:
        large.advertise(index)
    for index in (1, 2, 3, 4):
        large.share(index)
    large.upload_all(silos=(2, 3, 4))
    large.now += DEADLINE
    large.work()
    agree(large, silos=(2, 3, 4))
    for index in (1, 2, 3):
        large.close(index)
    assert large.board(1, Phase.CLOSED).phase == Phase.CLOSED


def test_a_survivor_that_is_gone_before_unmasking_costs_only_patience(large: Hub) -> None:
    large.upload_all(silos=(1, 2, 3, 4))
    large.work()
    agree(large, silos=(1, 2, 4))
    large.work()
    assert large.board(1, Phase.UNMASKED).reached is False
    large.now = PATIENCE
    large.work()
    assert [message.signer for message in large.board(1, Phase.UNMASKED).messages] == ["north", "south", "west"]
    with pytest.raises(ProtocolError) as caught:
        large.unmask(3)
    assert caught.value.code == "unmask.unexpected"
    for index in large.everyone:
        large.close(index)
    assert large.kinds() == ["survivors", "closed"]


def test_too_few_revealed_shares_abandon_the_round(large: Hub) -> None:
    large.upload_all(silos=(1, 2, 3, 4))
    large.work()
    for index in large.everyone:
        large.sign(index)
    for index in (1, 3):
        large.unmask(index)
    large.now = PATIENCE
    large.work()
    assert ended(large) == "too_few_unmasked"
    with pytest.raises(ProtocolError):
        large.unmask(2)


@pytest.mark.parametrize("stops", ["never", "between answers", "before it is announced", "after"])
def test_a_round_that_t_silos_cannot_open_ends_with_their_word_for_it(large: Hub, stops: str) -> None:
    large.upload_all(silos=(1, 2, 3, 4))
    large.work()
    agree(large, silos=(1, 2, 3, 4))
    large.close(2)
    for index in (1, 3):
        large.cannot_open(index)
    large.work()
    assert not large.board(1, Phase.CLOSED).reached
    if stops == "between answers":
        large.restart()
    large.cannot_open(4)
    if stops == "before it is announced":
        large.restart()
    large.work()
    if stops == "after":
        large.restart()
    board = large.board(1, Phase.CLOSED)
    assert board.phase == Phase.ABANDONED
    key = large.members.hub.keys.public_identity
    assert bodies.open_signed(board.messages[0], Abandon, key).reason == "unopenable"
    assert [message.signer for message in board.messages[1:]] == ["north", "east", "west"]
    assert large.board(2, Phase.ADVERTISED).phase == Phase.KEYS_GRANTED
    with pytest.raises(ProtocolError, match="opened"):
        large.close(3)


def test_a_round_that_too_few_sign_ends(hub: Hub) -> None:
    hub.upload_all()
    hub.work()
    hub.sign(1)
    hub.sign(2)
    hub.now = PATIENCE
    hub.work()
    assert opened(hub, hub.board(1, Phase.SIGNED).messages[0], Abandon).reason == "too_few_signatures"
    with pytest.raises(ProtocolError):
        hub.submit(3, Sign(context(1), 1, b"\1" * 32))


def test_a_late_silo_is_left_out_of_the_frozen_set(large: Hub) -> None:
    large.upload_all(silos=(1, 2, 4))
    late = MadeUpUpload.random(large, 3)
    large.now = DEADLINE
    large.work()
    with pytest.raises(ProtocolError) as caught:
        large.upload(late)
    assert caught.value.code == "upload.late"
    survivors = opened(large, large.board(1, Phase.SURVIVORS).messages[0], Survivors)
    assert [index for index, _ in survivors.members] == [1, 2, 4]

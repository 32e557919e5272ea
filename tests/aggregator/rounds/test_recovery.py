"""Stopped at every durable step and started again: what was acknowledged holds, and the round goes on."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from aggregator.storage.store import DATABASE
from privacy.errors import ProtocolError
from privacy.wire.messages import Abandon, Reject, Sign
from privacy.wire.requests import Phase
from tests.aggregator.hub import PATIENCE, Hub
from tests.aggregator.members import Members, context
from tests.aggregator.rounds.steps import agree, opened
from tests.aggregator.rounds.stopping import Killed, Silos, killed_at, steps_of_a_round


@pytest.mark.usefixtures("without_fsync")
def test_it_goes_on_after_a_stop_at_every_durable_step(tmp_path: Path, members: Members) -> None:
    total = steps_of_a_round(tmp_path / "whole", members)
    assert total > 20
    for point in range(1, total + 2):
        root = tmp_path / f"{point}"
        silos = Silos(Hub(root, members), 2)
        with pytest.raises(Killed), killed_at(point):
            silos.run()
        silos.hub.restart()
        silos.run()
        silos.hub.restart()
        assert silos.hub.kinds() == ["survivors", "closed"] * 2, point
        assert not silos.hub.stored("rounds/*/arriving-*")


def test_what_a_kill_left_half_written_is_gone_after_the_next_start(hub: Hub) -> None:
    hub.set_up()
    torn = [hub.root / "study/frames" / name for name in (f".{'0' * 64}.f81113861b5caf12", "0" * 64)]
    for path in torn:
        path.write_bytes(b"half a fra")
    hub.restart()
    assert not any(path.exists() for path in torn)
    hub.upload_all()


def test_answers_are_kept_over_a_stop_whatever_their_order(large: Hub) -> None:
    large.upload_all(silos=(1, 2, 3, 4))
    large.work()
    large.submit(1, Reject(context(1), 1, large.survivors_hash(1), "sum.refused"))
    for index in (2, 3, 4):
        large.sign(index)
    before = large.board(1, Phase.SIGNED)
    large.restart()
    assert large.board(1, Phase.SIGNED) == before
    assert [message.kind for message in before.messages] == ["sign"] * 3
    large.unmask(2)
    large.restart()
    large.unmask(3)
    large.now = PATIENCE
    large.work()
    assert large.board(1, Phase.UNMASKED).phase == Phase.ABANDONED


def test_a_false_late_signature_does_not_keep_it_from_starting_again(large: Hub) -> None:
    large.upload_all(silos=(1, 2, 3, 4))
    large.work()
    for index in (2, 3, 4):
        large.sign(index)
    with pytest.raises(ProtocolError):
        large.sign(1, survivors_hash=b"\5" * 32)
    large.restart()
    assert large.board(1, Phase.SIGNED).phase == Phase.SIGNED


def test_a_signature_cannot_be_replaced(hub: Hub) -> None:
    hub.upload_all()
    hub.work()
    digest = hub.survivors_hash(1)
    for index in (1, 2, 3):
        hub.sign(index)
    with pytest.raises(ProtocolError) as caught:
        hub.submit(1, Sign(context(9), 1, digest))
    assert caught.value.code == "survivors.answered"
    before = hub.board(1, Phase.SIGNED)
    hub.restart()
    assert hub.board(1, Phase.SIGNED) == before


def test_a_rejected_round_is_announced_even_if_it_stopped_just_before(hub: Hub) -> None:
    hub.upload_all()
    hub.work()
    hub.sign(1)
    hub.submit(2, Reject(context(1), 1, hub.survivors_hash(1), "sum.refused"))
    hub.restart()
    assert hub.board(1, Phase.SIGNED).reached is False
    hub.work()
    board = hub.board(1, Phase.SIGNED)
    assert board.phase == Phase.ABANDONED
    assert opened(hub, board.messages[0], Abandon) == Abandon(hub.members.study.digest(), 1, "rejected")
    assert hub.kinds() == ["survivors", "incident", "closed"]
    assert not list((hub.root / "study/frames").iterdir())
    hub.restart()
    assert hub.board(1, Phase.SIGNED) == board
    hub.upload_all(2)


def test_a_full_set_that_was_not_recorded_as_frozen_is_frozen_by_the_next_start(hub: Hub) -> None:
    def lost(name: str) -> None:
        with closing(sqlite3.connect(hub.root / "study" / DATABASE)) as other, other:
            assert other.execute("DELETE FROM frozen_set WHERE name = ?", (name,)).rowcount == 1
        hub.restart()
        assert hub.stored(f"rounds/000001/set-{name}")

    for index in hub.everyone:
        hub.advertise(index)
    lost("advertised")
    for index in hub.everyone:
        hub.share(index)
    lost("shared")
    hub.upload_all()
    hub.work()
    agree(hub)
    lost("unmasked")
    for index in hub.everyone:
        hub.close(index)
    assert hub.board(1, Phase.CLOSED).phase == Phase.CLOSED


def test_a_frozen_set_stays_what_it_was_over_a_stop(large: Hub) -> None:
    large.set_up(silos=(1, 2, 4))
    before = [large.board(1, phase) for phase in (Phase.ADVERTISED, Phase.SHARED)]
    large.restart()
    for step in (large.advertise, large.share):
        with pytest.raises(ProtocolError) as caught:
            step(3)
        assert caught.value.code == "round.late"
    assert [large.board(1, phase) for phase in (Phase.ADVERTISED, Phase.SHARED)] == before
    assert [message.signer for message in before[0].messages] == ["north", "south", "west"]


def test_a_partly_filled_set_goes_on_filling_after_a_stop(hub: Hub) -> None:
    for step, before, after in (
        (hub.advertise, Phase.KEYS_GRANTED, Phase.ADVERTISED),
        (hub.share, Phase.ADVERTISED, Phase.UPLOADING),
    ):
        for index in (1, 3):
            step(index)
        hub.restart()
        assert hub.coordinator.progress() == (1, before)
        step(2)
        assert hub.coordinator.progress() == (1, after)

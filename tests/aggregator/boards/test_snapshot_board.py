"""The aggregator's board of snapshots: taken only where one is wanted and vouched for, frame by frame."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from aggregator.rounds.intake import REPLAYED_ROUNDS
from privacy.errors import ProtocolError
from privacy.wire.requests import Board, Phase
from privacy.wire.snapshots import FRAME_BYTES, SnapshotFrame, SnapshotOffer, SnapshotRequest
from tests.aggregator.hub import Hub
from tests.aggregator.members import Members, context

CHAIN, STATE = b"\7" * 32, b"\6" * 32
FRAMES = (b"a" * FRAME_BYTES, b"b" * FRAME_BYTES, b"c" * 100)
GIVER, JOINER = 1, 3


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    (tmp_path / "hub").mkdir()
    return Hub(tmp_path / "hub", Members.enrol(tmp_path / "members"), max_upload_bytes=2**22)


@pytest.fixture
def closed(hub: Hub) -> Hub:
    """A study whose first round has closed."""
    close(hub, 1)
    return hub


def close(hub: Hub, number: int) -> None:
    hub.upload_all(number)
    hub.work()
    for step in (hub.sign, hub.unmask, hub.close):
        for index in hub.everyone:
            step(index, number)


def ask(hub: Hub, least: int = 1, index: int = JOINER) -> None:
    hub.submit(index, SnapshotRequest(hub.members.study.digest(), index, least))


def offer(hub: Hub, number: int = 1, giver: int = GIVER, frames: tuple[bytes, ...] = FRAMES) -> SnapshotOffer:
    digests = tuple(hashlib.sha256(frame).digest() for frame in frames)
    size = sum(len(frame) - 16 for frame in frames)
    return SnapshotOffer(context(number), number, giver, CHAIN, STATE, size, digests)


def give(hub: Hub, *indices: int, number: int = 1) -> None:
    digest = hub.members.study.digest()
    for index in indices:
        hub.give_snapshot_frame(SnapshotFrame(digest, number, index, FRAMES[index]))


def wanted(hub: Hub) -> Board:
    return hub.board(0, Phase.SNAPSHOT_REQUESTED)


def offered(hub: Hub, least: int = 1) -> Board:
    return hub.board(least, Phase.SNAPSHOT_OFFERED)


def refusal(hub: Hub, changed: SnapshotOffer, sender: int = GIVER) -> str:
    with pytest.raises(ProtocolError) as caught:
        hub.submit(sender, changed)
    return caught.value.code


def test_nobody_asks_nothing_is_taken(closed: Hub) -> None:
    assert refusal(closed, offer(closed)) == "snapshot.not_wanted"
    assert not wanted(closed).reached
    assert not closed.board(2, Phase.ADVERTISED, index=1, attentive=True).wanted


def test_a_snapshot_is_shown_once_it_is_whole_and_over_restarts(closed: Hub) -> None:
    ask(closed)
    assert closed.board(2, Phase.ADVERTISED, 20_000, index=1, attentive=True).wanted
    closed.submit(GIVER, offer(closed))
    give(closed, 1)
    closed.restart()
    assert wanted(closed).reached
    assert not offered(closed).reached
    with pytest.raises(ProtocolError) as caught:
        closed.snapshot(1)
    assert caught.value.code == "snapshot.gone"
    give(closed, 0, 2)
    for _ in range(2):
        assert not wanted(closed).reached
        (message,) = offered(closed).messages
        assert message.kind == "snapshot-offer"
        assert closed.snapshot(1) == FRAMES
        assert closed.snapshot(1, first=2) == FRAMES[2:]
        assert not offered(closed, least=2).reached
        closed.restart()
    assert refusal(closed, offer(closed)) == "snapshot.not_wanted"


def test_several_holders_are_told_of_different_frames(closed: Hub) -> None:
    ask(closed)
    closed.submit(GIVER, offer(closed))
    assert {wanted(closed).frame for _ in range(3)} == {0, 1, 2}
    give(closed, 1)
    assert {wanted(closed).frame for _ in range(4)} == {0, 2}
    give(closed, 1, 0, 0, 2)
    assert offered(closed).reached


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"silo_index": 2}, "protocol.foreign_signer"),
        ({"round_number": 2}, "snapshot.not_wanted"),
        ({"ctx": b"x" * 32}, "snapshot.foreign"),
        ({"chain": b"x" * 32}, "snapshot.foreign"),
        ({"state_mac": b"x" * 32}, "snapshot.foreign"),
        ({"size": 5 * 2**20, "frame_sha256": (b"d" * 32,) * 6}, "snapshot.too_large"),
    ],
)
def test_an_offer_that_t_closes_do_not_agree_with_is_refused(
    closed: Hub, changes: dict[str, object], code: str
) -> None:
    ask(closed)
    assert refusal(closed, replace(offer(closed), **changes)) == code  # type: ignore[arg-type]
    assert not wanted(closed).messages


def test_the_first_offer_stands_and_only_its_frames_are_taken(closed: Hub) -> None:
    ask(closed)
    closed.submit(GIVER, offer(closed))
    assert refusal(closed, offer(closed, giver=2), sender=2) == "snapshot.not_wanted"
    digest = closed.members.study.digest()
    for frame, code in (
        (SnapshotFrame(digest, 1, 0, FRAMES[1]), "snapshot.frame"),
        (SnapshotFrame(digest, 1, 3, FRAMES[0]), "snapshot.frame"),
        (SnapshotFrame(digest, 2, 0, FRAMES[0]), "snapshot.not_wanted"),
        (SnapshotFrame(b"x" * 32, 1, 0, FRAMES[0]), "study.unknown"),
    ):
        with pytest.raises(ProtocolError) as caught:
            closed.give_snapshot_frame(frame)
        assert caught.value.code == code
    assert not closed.stored("snapshot/sum/*")


def test_requests_of_others_or_for_what_has_not_closed_yet(closed: Hub) -> None:
    for request, code in (
        (SnapshotRequest(closed.members.study.digest(), 2, 1), "snapshot.foreign_request"),
        (SnapshotRequest(b"x" * 32, JOINER, 1), "snapshot.foreign_request"),
    ):
        with pytest.raises(ProtocolError) as caught:
            closed.submit(JOINER, request)
        assert caught.value.code == code
    ask(closed, least=2)
    assert not wanted(closed).reached, "holders are asked once they can answer"
    assert refusal(closed, offer(closed)) == "snapshot.not_wanted"
    close(closed, 2)
    assert wanted(closed).reached


def test_an_offer_that_was_never_filled_gives_way_to_the_next_round(closed: Hub) -> None:
    ask(closed)
    closed.submit(GIVER, offer(closed))
    give(closed, 0)
    close(closed, 2)
    assert wanted(closed).reached
    assert not wanted(closed).messages
    closed.submit(2, offer(closed, 2, giver=2))
    assert {wanted(closed).frame for _ in range(3)} == {0, 1, 2}, "no frame of the other offer counts"
    closed.restart()
    assert {wanted(closed).frame for _ in range(3)} == {0, 1, 2}


def test_old_rounds_and_the_snapshot_before_them_are_dropped(tmp_path: Path) -> None:
    """A silo that never closes keeps the newest rounds from being forgotten, not all of them."""
    hub = Hub(tmp_path, Members.enrol(tmp_path / "members", ("north", "south", "east", "west")))
    last = 2 + REPLAYED_ROUNDS
    for number in range(1, last + 1):
        hub.upload_all(number, silos=hub.everyone)
        hub.work()
        for step in (hub.sign, hub.unmask):
            for index in hub.everyone:
                step(index, number)
        for index in hub.everyone[: hub.members.study.roster.threshold]:
            hub.close(index, number)
        if number == 1:
            ask(hub)
            hub.submit(GIVER, offer(hub))
            give(hub, 0, 1, 2)
        assert offered(hub).reached == (number <= 1 + REPLAYED_ROUNDS)
    kept = {int(name.split("/")[1]) for name in hub.stored("rounds/*/upload-*/frame-*")}
    assert kept == set(range(last - REPLAYED_ROUNDS + 1, last + 1))
    assert not hub.stored("snapshot/sum/*")
    with pytest.raises(ProtocolError) as caught:
        hub.sum(1)
    assert caught.value.code == "sum.gone"

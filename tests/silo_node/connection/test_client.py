"""The client's patience: it tries again what may pass, and gives up in time with a sentence that helps."""

import hashlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError, StorageError, Unreachable
from privacy.wire import bodies, convert
from privacy.wire.requests import Board, Phase
from privacy.wire.snapshots import FRAME_BYTES, SnapshotOffer
from silo_node.connection.board_download import BoardDownload
from silo_node.connection.client import AggregatorClient
from silo_node.egress.log import EgressLog
from tests.aggregator.hub import Members


@pytest.fixture
def client(members: Members, tmp_path: Path) -> Iterator[AggregatorClient]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        made = AggregatorClient(
            members.of(1), f"127.0.0.1:{unused.getsockname()[1]}", bytes(32), 1.0, EgressLog(tmp_path, "", "")
        )
        yield made
        made.close()


def test_an_aggregator_that_is_not_there_is_unreachable_within_our_patience(client: AggregatorClient) -> None:
    start = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        client.board(1, Phase.SURVIVORS)
    assert time.monotonic() - start < 5
    assert caught.value.exit_code == 75
    assert "127.0.0.1" in str(caught.value)


class Flaky:
    """Fails a number of times, then answers."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.left, self.error, self.calls = failures, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise self.error
        return "answer"


def test_what_cannot_be_reached_is_tried_again(client: AggregatorClient, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    call = Flaky(3, Unreachable("not now"))
    assert client._patiently(call) == "answer"
    assert call.calls == 4
    for position, wait in enumerate(waits):
        assert 0.5 * 0.2 * 2**position <= wait <= 1.5 * 0.2 * 2**position


def test_a_full_disk_at_the_aggregator_is_waited_out_and_one_here_is_not(
    client: AggregatorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    theirs, ours = StorageError("the disk is full", code="storage.full"), StorageError("the disk is full")
    theirs.__cause__ = grpc.RpcError()
    assert client._patiently(Flaky(3, theirs)) == "answer"
    with pytest.raises(StorageError):
        client._patiently(Flaky(1, ours))
    monkeypatch.setattr(client, "_patience", 0.0)
    with pytest.raises(Unreachable, match="the disk is full") as caught:
        client._patiently(Flaky(1, theirs))
    assert caught.value.code == "peer.storage"


def test_patience_ends(client: AggregatorClient, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    call = Flaky(10**9, Unreachable("not now"))
    with pytest.raises(Unreachable):
        client._patiently(call)
    assert now[0] <= 1.0 + 0.3
    assert call.calls >= 2


def test_patience_starts_anew_with_each_step_forward(client: AggregatorClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a transfer takes on a line that breaks: only without progress it ends."""
    now, arrived = [0.0], [0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))

    def call() -> None:
        now[0] += 100.0
        arrived[0] = min(arrived[0] + 1, 7)
        raise Unreachable("not now")

    with pytest.raises(Unreachable):
        client._patiently(call, lambda: arrived[0])
    assert arrived[0] == 7
    assert 800 <= now[0] <= 1000


@pytest.mark.parametrize("error", [ProtocolError("no"), StorageError("full"), ValueError("defect")])
def test_a_refusal_is_not_tried_again(client: AggregatorClient, error: Exception) -> None:
    call = Flaky(1, error)
    with pytest.raises(type(error)):
        client._patiently(call)
    assert call.calls == 1


# ---- snapshots

FRAMES = (b"a" * FRAME_BYTES, b"b" * FRAME_BYTES, b"c" * 100)


def offer(frames: tuple[bytes, ...] = FRAMES) -> SnapshotOffer:
    size = sum(len(frame) - 16 for frame in frames)
    digests = tuple(hashlib.sha256(frame).digest() for frame in frames)
    return SnapshotOffer(bytes(32), 4, 1, bytes(32), bytes(32), size, digests)


class Serving:
    """An aggregator's stream of frames, which may break off."""

    def __init__(self, *frames: bytes, breaks_after: int = 10) -> None:
        self.frames, self.breaks_after, self.asked = frames, breaks_after, list[int]()

    def __call__(self, request: bytes, timeout: float) -> Iterator[bytes]:
        first = convert.decode_snapshot_download(request).first_frame
        self.asked.append(first)
        for sent, frame in enumerate(self.frames[first:]):
            if sent == self.breaks_after:
                raise Unreachable("the line broke")
            yield convert.encode_frame(frame)


def test_a_download_goes_on_where_it_broke_also_after_a_restart(
    client: AggregatorClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    serving = client._take = Serving(*FRAMES, breaks_after=1)
    client.snapshot_frames(offer(), tmp_path)
    assert serving.asked == [0, 1, 2]
    (tmp_path / "frame-1").write_bytes(b"torn")
    serving.asked.clear()
    client.snapshot_frames(offer(), tmp_path)
    assert serving.asked == [1, 2]
    assert tuple((tmp_path / f"frame-{index}").read_bytes() for index in range(3)) == FRAMES


def test_frames_of_another_offer_are_fetched_again(client: AggregatorClient, tmp_path: Path) -> None:
    client._take = Serving(*FRAMES)
    client.snapshot_frames(offer(), tmp_path)
    newer = (b"n" * FRAME_BYTES, b"c" * 100)
    client._take = Serving(*newer)
    client.snapshot_frames(offer(newer), tmp_path)
    assert tuple((tmp_path / f"frame-{index}").read_bytes() for index in range(2)) == newer


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ((FRAMES[0], FRAMES[2]), "snapshot.altered"),
        ((*FRAMES, b"more"), "snapshot.altered"),
        (FRAMES[:2], "snapshot.gone"),
        ((), "snapshot.gone"),
    ],
    ids=["another frame", "a frame too many", "too few", "none"],
)
def test_other_frames_than_offered_are_refused_before_they_are_kept(
    client: AggregatorClient, tmp_path: Path, frames: tuple[bytes, ...], code: str
) -> None:
    client._take = Serving(*frames)
    with pytest.raises(ProtocolError) as caught:
        client.snapshot_frames(offer(), tmp_path)
    assert caught.value.code == code
    kept = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    assert kept == list(FRAMES[: len(kept)])


# ---- others that wait


def test_while_it_waits_it_answers_others_and_does_not_ask_again_at_once_for_what_it_cannot_give(
    client: AggregatorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    answers = iter([True, True, False])
    wanted = Board(False, Phase.ADVERTISED, wanted=True)
    boards = iter([wanted, wanted, wanted, Board(False, Phase.ADVERTISED), Board(True, Phase.SHARED)])

    def poll(download: BoardDownload, milliseconds: int, attentive: bool) -> Board:
        asked.append(attentive)
        return next(boards)

    monkeypatch.setattr(client, "_polled", poll)
    client.attend(lambda: next(answers))
    assert client.wait(1, Phase.SHARED).reached
    assert asked == [True, True, True, False, True]
    assert next(answers, None) is None, "it answered each time that it was told of somebody"


def test_what_was_said_is_said_again_after_a_poll_that_broke_off_or_was_in_vain(
    client: AggregatorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old copy of the aggregator may have been put back meanwhile; a refusal of the repeat decides nothing."""
    done: list[object] = []
    waiting, wanted = Board(False, Phase.ADVERTISED), Board(False, Phase.ADVERTISED, wanted=True)
    boards = iter([wanted, Unreachable("broken off"), waiting, Board(True, Phase.SHARED)])

    def poll(download: BoardDownload, milliseconds: int, attentive: bool) -> Board:
        done.append("polled")
        board = next(boards)
        if isinstance(board, Exception):
            raise board
        return board

    def refuse(data: bytes, timeout: float) -> bytes:
        done.append(bodies.decode_signed(data))
        raise ProtocolError("too late", code="round.late")

    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(client, "_polled", poll)
    monkeypatch.setattr(client, "_submit", refuse)
    said = Signed("advertise", b"body", "silo-1", bytes(64))
    assert client.wait(1, Phase.SHARED, (said,)).reached
    assert done == ["polled", "polled", said, "polled", said, "polled"]

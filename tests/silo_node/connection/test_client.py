"""The silo's calls: who does not answer is named, streams go on, and others are answered while it waits."""

import io
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError, Unreachable
from privacy.operations.events import Events
from privacy.wire import bodies, convert
from privacy.wire.requests import Board, Phase
from silo_node.connection import silence
from silo_node.connection.board_download import BoardDownload
from silo_node.connection.client import AggregatorClient
from silo_node.egress.log import EgressLog
from silo_node.rounds.progress import Progress
from tests.aggregator.members import Members
from tests.silo_node.connection.test_snapshot_download import FRAMES, offer


@pytest.fixture
def client(members: Members, tmp_path: Path) -> Iterator[AggregatorClient]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        made = AggregatorClient(
            members.of(1), f"127.0.0.1:{unused.getsockname()[1]}", bytes(32), 1.0, EgressLog(tmp_path, "", "")
        )
        yield made
        made.close()


def test_an_aggregator_that_is_not_there_is_unreachable_within_our_patience(
    client: AggregatorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(silence, "AFTER_SECONDS", 0.0)
    monkeypatch.setattr(
        client._patience,
        "_silence",
        silence.Silence(Progress(None, 1, events=Events(log, "silo", "chest", as_json=False))),
    )
    start = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        client.board(1, Phase.SURVIVORS)
    assert time.monotonic() - start < 5
    assert caught.value.exit_code == 75
    assert "127.0.0.1" in str(caught.value)
    (line,) = log.getvalue().splitlines()
    assert line.endswith(f"{caught.value} [{caught.value.code}]")  # said before it ended, with what to do


class Serving:
    """An aggregator's stream of frames, which may break off."""

    def __init__(self, *frames: bytes, breaks_after: int = 10) -> None:
        self.frames, self.breaks_after, self.asked = frames, breaks_after, list[int]()

    def __call__(self, request: bytes, timeout: float) -> Iterator[bytes]:
        return self._from(convert.decode_snapshot_download(request).first_frame)

    def _from(self, first: int) -> Iterator[bytes]:
        self.asked.append(first)
        for sent, frame in enumerate(self.frames[first:]):
            if sent == self.breaks_after:
                raise Unreachable("the line broke")
            yield convert.encode_frame(frame)


class ServingSum(Serving):
    """The same for a sum; what grpc gives for a stream can be cancelled."""

    def __call__(self, request: bytes, timeout: float) -> "Answer":
        return Answer(self._from(convert.decode_sum_request(request).first_frame))


class Answer:
    def __init__(self, frames: Iterator[bytes]) -> None:
        self._frames = frames

    def __iter__(self) -> Iterator[bytes]:
        return self._frames

    def cancel(self) -> None:
        """Nothing is sent before it is asked for."""


def test_a_snapshot_is_asked_for_from_its_first_missing_frame(
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


@pytest.mark.parametrize(("breaks_after", "asked"), [(1, [0, 1, 2]), (2, [0, 2]), (10, [0])])
def test_a_sum_is_asked_for_from_its_first_missing_frame(
    client: AggregatorClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks_after: int, asked: list[int]
) -> None:
    """What came before the line broke is not sent again, and what an earlier download left is not taken for it."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    serving = client._download = ServingSum(*FRAMES, breaks_after=breaks_after)
    for _ in range(2):
        client.sum_frames(1, tmp_path / "sum", len(FRAMES))
        assert serving.asked == asked
        assert tuple((tmp_path / f"sum/frame-{index}").read_bytes() for index in range(3)) == FRAMES
        serving.asked.clear()


def test_no_more_of_a_sum_is_kept_than_was_asked_for(
    client: AggregatorClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    serving = client._download = ServingSum(*FRAMES, b"one more", breaks_after=2)
    client.sum_frames(1, tmp_path / "sum", len(FRAMES))
    assert serving.asked == [0, 2]
    assert sorted(path.name for path in (tmp_path / "sum").iterdir()) == ["frame-0", "frame-1", "frame-2"]


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


def test_a_wait_that_one_answer_ends_ends_with_it_and_not_with_what_it_cannot_give(
    client: AggregatorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, answers = Board(False, Phase.ADVERTISED, wanted=True), iter([False, True])
    boards = iter([wanted, Board(False, Phase.ADVERTISED), wanted])
    monkeypatch.setattr(client, "_polled", lambda *_, **__: next(boards))
    client.attend(lambda: next(answers))
    assert client.wait_or_answer(1, Phase.SHARED) == wanted
    assert next(answers, None) is None
    assert next(boards, None) is None

    boards = iter([Board(True, Phase.SHARED)])
    assert client.wait_or_answer(1, Phase.SHARED).reached


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

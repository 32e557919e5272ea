"""A board that breaks off on its way goes on after what came; over the aggregator's real coordinator and wire form."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from privacy.errors import ProtocolError
from privacy.wire import convert
from privacy.wire.requests import Board, Phase
from silo_node.connection.board_download import BoardDownload
from tests.aggregator.hub import Hub
from tests.aggregator.members import Members


class BrokenOff(Exception):
    """The line."""


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Members:
    return Members.enrol(tmp_path_factory.mktemp("members"))


@pytest.fixture(autouse=True)
def _a_message_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "PART_BYTES", 1)


@pytest.fixture
def hub(tmp_path: Path, members: Members) -> Hub:
    made = Hub(tmp_path / "one", members)
    made.set_up()
    return made


def parts(hub: Hub, download: BoardDownload, cut: int | None = None) -> Iterator[Board]:
    """The answer to what is asked for now, which breaks off after `cut` parts."""
    request = convert.encode_await(download.request(0, attentive=False))
    answer = [convert.decode_board(part) for part in hub._service._await(request, hub._caller(1))]
    yield from answer[:cut]
    if cut is not None:
        raise BrokenOff


def begun(hub: Hub, cut: int, phase: Phase = Phase.SHARED) -> BoardDownload:
    download = BoardDownload(hub.members.study.digest(), 1, phase)
    with pytest.raises(BrokenOff):
        download.take(parts(hub, download, cut))
    return download


@pytest.mark.parametrize("what", ["messages", "seeds", "nothing"])
def test_an_aggregator_that_never_ends_fills_no_memory(hub: Hub, what: str) -> None:
    whole = hub.board(1, Phase.SHARED)
    part = {
        "messages": replace(whole, messages=whole.messages[:1]),
        "seeds": replace(whole, messages=(), seeds=(b"s",)),
        "nothing": replace(whole, messages=()),
    }[what]
    taken = count()
    with pytest.raises(ProtocolError):
        BoardDownload(hub.members.study.digest(), 1, Phase.SHARED).take(part for _ in taken)
    assert next(taken) < 150


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_a_frozen_set_goes_on_where_it_broke(hub: Hub, cut: int) -> None:
    download = begun(hub, cut)
    assert download.held == cut
    rest = list(parts(hub, download))
    assert [part.first for part in rest] == [cut] * max(1, 3 - cut)
    assert sum(len(part.messages) for part in rest) == 3 - cut
    assert download.take(rest) == hub.board(1, Phase.SHARED)


def test_it_may_break_again_and_again(hub: Hub) -> None:
    download = begun(hub, 1)
    for held in (2, 3):
        with pytest.raises(BrokenOff):
            download.take(parts(hub, download, 1))
        assert download.held == held
    assert download.take(parts(hub, download)) == hub.board(1, Phase.SHARED)


def test_seeds_come_whole_after_the_headers(hub: Hub) -> None:
    hub.upload_all()
    hub.work()
    whole = hub.board(1, Phase.SURVIVORS)
    assert (len(whole.messages), len(whole.seeds)) == (4, 3)
    for cut in (3, 4, 6):
        assert begun(hub, cut, Phase.SURVIVORS).take(parts(hub, begun(hub, cut, Phase.SURVIVORS))) == whole


def test_it_begins_anew_where_the_aggregator_has_others(hub: Hub, tmp_path: Path, members: Members) -> None:
    """Two parts of different sets are never joined: a copy was put back, and the set was frozen otherwise."""
    download = begun(hub, 2)
    other = Hub(tmp_path / "other", members)
    for index in other.everyone:
        other.advertise(index)
    for index in other.everyone:
        other.share(index, version=1)
    assert other.board(1, Phase.SHARED) != hub.board(1, Phase.SHARED)
    assert download.take(parts(other, download)) == other.board(1, Phase.SHARED)


def test_an_end_of_the_round_meanwhile_is_told_whole(hub: Hub) -> None:
    download = begun(hub, 2)
    hub.now += 1000
    hub.work(2)
    board = download.take(parts(hub, download))
    assert board == hub.board(1, Phase.SHARED)
    assert (board.phase, len(board.messages)) == (Phase.ABANDONED, 1)


def test_a_set_that_still_grows_is_asked_for_whole(hub: Hub) -> None:
    """A Close may come late and stand before others."""
    hub.upload_all()
    hub.work()
    for step in (hub.sign, hub.unmask, hub.close):
        for index in hub.everyone:
            step(index)
    download = begun(hub, 2, Phase.CLOSED)
    assert download.held == 0
    assert download.take(parts(hub, download)) == hub.board(1, Phase.CLOSED)

"""An upload that was torn goes on where it ended, in one stream's name, and nothing of an incomplete one stays."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from privacy.errors import ProtocolError
from privacy.wire import convert
from privacy.wire.requests import Phase, Piece
from tests.aggregator.hub import DEADLINE, Hub
from tests.aggregator.made_up_upload import MadeUpUpload
from tests.aggregator.serving.uploads.streams import broken_off, parts_of


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 5, 6])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_torn_upload_goes_on_at_its_first_missing_piece(long: Hub, cut: int, stopped: bool) -> None:
    """Also when the aggregator was stopped in between, once the last piece was there too."""
    upload = MadeUpUpload.random(long, 1)
    parts = parts_of(long, upload)
    assert len(parts) == 7
    if cut < 6:
        with pytest.raises(ProtocolError) as caught:
            long.stream(1, parts[:cut])
        assert caught.value.code == ("protocol.malformed" if cut == 0 else "upload.torn")
    else:
        with pytest.raises(ConnectionResetError):
            long.stream(1, broken_off(parts))
    if stopped:
        long.restart()
    assert not long.stored("rounds/*/upload-*")
    stored = max(0, cut - 1) if cut < 6 else 6
    assert long.begin(1, upload.header) == stored
    long.stream(1, [parts[0], *parts[1 + stored :]])
    assert len(long.stored("rounds/*/upload-1/frame-*")) == len(upload.frames)
    assert not long.stored("rounds/*/arriving-*")
    with pytest.raises(ProtocolError) as caught:
        long.begin(1, upload.header)
    assert caught.value.code == "upload.repeated"


def test_the_first_header_of_a_silo_is_final_over_a_stop(long: Hub) -> None:
    first, second = (MadeUpUpload.random(long, 1, seed=seed) for seed in (1, 2))
    with pytest.raises(ConnectionResetError):
        long.stream(1, broken_off(parts_of(long, first)[:3]))
    for _ in range(2):
        with pytest.raises(ProtocolError) as caught:
            long.upload(second)
        assert caught.value.code == "upload.other_header"
        assert long.begin(1, first.header) == 2
        long.restart()
    long.upload(first)


def test_pieces_mix_with_those_of_no_other_stream(long: Hub) -> None:
    """A retry is served while the first stream hangs; what the hung one still brings changes nothing."""
    parts = parts_of(long, MadeUpUpload.random(long, 1))

    def hanging() -> Iterator[bytes]:
        yield from parts[:-1]
        long.stream(1, [parts[0], *parts[4:]])
        yield parts[-1]

    with pytest.raises(ProtocolError) as caught:
        long.stream(1, hanging())
    assert caught.value.code == "upload.late"
    long.upload_all(silos=(2, 3))
    long.work()
    (mine, *_), frame = long.board(1, Phase.SURVIVORS).seeds, long.upload_frame(1, 1, 3)
    assert (convert.encode_piece(Piece(0, mine)), convert.encode_piece(Piece(4, frame))) == (parts[1], parts[5])


def test_two_streams_at_once_bring_one_upload(long: Hub) -> None:
    parts = parts_of(long, MadeUpUpload.random(long, 1))
    both = threading.Barrier(2)

    def stream() -> str:
        both.wait()
        try:
            long.stream(1, parts)
        except ProtocolError as error:
            return error.code
        return "ok"

    with ThreadPoolExecutor(2) as pool:
        results = sorted(future.result() for future in [pool.submit(stream) for _ in range(2)])
    assert results[0] == "ok"
    assert results[1] in ("upload.late", "upload.repeated")
    pieces = [*(f"frame-{index}" for index in range(5)), "header", "seeds"]
    assert long.stored("*/upload-*") == [f"rounds/000001/upload-1/{piece}" for piece in pieces]


def test_what_is_incomplete_is_erased_when_the_round_takes_no_more(large: Hub) -> None:
    large.upload_all(silos=(1, 2, 3))
    torn = MadeUpUpload.random(large, 4)
    with pytest.raises(ConnectionResetError):
        large.stream(4, broken_off(torn.parts(large.members.seal(4, torn.header))[:2]))
    assert large.stored("rounds/*/arriving-4/seeds")
    arriving = large.coordinator._arrivals._arriving[4]
    large.now += DEADLINE
    large.work()
    assert not large.stored("rounds/*/arriving-*")
    with pytest.raises(ProtocolError) as caught:
        arriving.take(Piece(1, torn.frames[0]))  # of a stream that is still open
    assert caught.value.code == "upload.late"
    assert not large.stored("rounds/*/arriving-*")


@pytest.mark.parametrize("stopped", [False, True])
def test_what_is_incomplete_is_erased_when_the_round_is_abandoned(
    hub: Hub, upload: MadeUpUpload, stopped: bool
) -> None:
    with pytest.raises(ConnectionResetError):
        hub.stream(1, broken_off(parts_of(hub, upload)[:2]))
    if stopped:
        hub.restart()
    hub.now += DEADLINE
    hub.work()
    assert hub.board(1, Phase.CLOSED).phase == Phase.ABANDONED
    assert not hub.stored("rounds/*/arriving-*")


def test_a_silo_takes_the_place_of_one_upload_on_the_disk(long: Hub) -> None:
    """However often it begins, breaks off and tries others."""
    for seed in range(4):
        upload = MadeUpUpload.random(long, 1, seed=seed)
        with pytest.raises((ProtocolError, ConnectionResetError)):
            long.stream(1, broken_off(parts_of(long, upload)[: 3 + seed]))
    pieces = ("frame-0", "header", "seeds")
    assert long.stored("rounds/*/arriving-*") == [f"rounds/000001/arriving-1/{piece}" for piece in pieces]
    assert len(list((long.root / "study" / "frames").iterdir())) == 1

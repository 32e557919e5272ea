"""Every message comes back as it went."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from privacy.channel.envelope import Signed
from privacy.wire import bodies, convert, exchange, renewals
from privacy.wire.heads import HeadQuery, HeadsGiven, HeadsShown
from privacy.wire.limits import MAX_FRAMES
from privacy.wire.messages import UploadHeader
from privacy.wire.requests import Arrived, Piece
from privacy.wire.snapshots import SnapshotDownload, SnapshotFrame
from tests.privacy.wire import strategies as some

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()


@given(some.heads_given)
def test_heads_that_are_given_come_back(given: HeadsGiven) -> None:
    assert exchange.decode_given(exchange.encode_given(given)) == given


@given(some.heads_shown)
def test_heads_that_are_shown_come_back(shown: HeadsShown) -> None:
    assert exchange.decode_shown(exchange.encode_shown(shown)) == shown


@given(st.binary(min_size=1, max_size=2000))
def test_a_request_for_renewal_and_its_answer_come_back(file: bytes) -> None:
    asked = renewals.RenewRequest(b"1" * 32, file)
    assert renewals.decode_request(renewals.encode_request(asked)) == asked
    assert renewals.decode_answer(renewals.encode_answer(file)) == file


@given(some.head_queries)
def test_a_question_about_a_ledger_comes_back(query: HeadQuery) -> None:
    assert convert.decode_head_query(convert.encode_head_query(query)) == query


@given(some.any_body)
def test_a_body_comes_back(body: bodies.Body) -> None:
    signed = bodies.seal(body, "north", KEY)
    again = bodies.decode_signed(bodies.encode_signed(signed))
    assert again == signed
    assert bodies.open_signed(again, type(body), PUBLIC) == body


@given(some.any_body)
def test_equal_messages_have_equal_bytes(body: bodies.Body) -> None:
    assert bodies.encode_body(body) == bodies.encode_body(body)


@given(some.awaits, some.boards, some.sum_requests, some.frame_requests)
def test_requests_and_boards_come_back(await_request, board, sum_request, frame_request) -> None:  # type: ignore[no-untyped-def]
    assert convert.join_board(convert.board_parts(board)) == board
    assert convert.decode_frame_request(convert.encode_frame_request(frame_request)) == frame_request
    assert convert.decode_await(convert.encode_await(await_request)) == await_request
    assert convert.decode_board(convert.encode_board(board)) == board
    assert convert.decode_sum_request(convert.encode_sum_request(sum_request)) == sum_request


@given(some.snapshot_downloads, some.snapshot_frames)
def test_snapshot_calls_come_back(download: SnapshotDownload, frame: SnapshotFrame) -> None:
    assert convert.decode_snapshot_download(convert.encode_snapshot_download(download)) == download
    assert convert.decode_snapshot_frame(convert.encode_snapshot_frame(frame)) == frame


@given(some.signeds, st.binary(max_size=100))
def test_parts_and_frames_come_back(signed: Signed, data: bytes) -> None:
    assert convert.decode_part(convert.encode_header_part(signed)) == signed
    for number in (0, 1, 2, MAX_FRAMES):
        assert convert.decode_part(convert.encode_piece(Piece(number, data))) == Piece(number, data)
        assert convert.decode_arrived(convert.encode_arrived(Arrived(number))) == Arrived(number)
    assert convert.decode_frame(convert.encode_frame(data)) == data


def test_the_largest_upload_header_fits_its_limit() -> None:
    count = 20_000
    header = UploadHeader(b"1" * 32, 1, 1, (2**20,) * count, (b"2" * 32,) * count, b"3" * 32, b"4" * 32, b"5" * 16)
    assert bodies.open_signed(bodies.seal(header, "north", KEY), UploadHeader, PUBLIC) == header

"""Every message comes back as it went, and nothing else that arrives is ever taken for one."""

import contextlib
import typing

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import assume, given
from hypothesis import strategies as st

from privacy.channel.envelope import Signed, sign
from privacy.errors import IdentityError, ProtocolError
from privacy.wire import bodies, convert, exchange, parsing, renewals
from privacy.wire import collegium_pb2 as pb
from privacy.wire.heads import HeadQuery, HeadsGiven, HeadsShown
from privacy.wire.limits import MAX_FRAMES
from privacy.wire.messages import Sign, UploadHeader
from privacy.wire.requests import Arrived, Phase, Piece
from privacy.wire.snapshots import SnapshotDownload, SnapshotFrame
from tests.privacy.wire import strategies as some

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()
KINDS: tuple[type[typing.Any], ...] = typing.get_args(bodies.Body)

DECODERS: dict[str, typing.Callable[[bytes], object]] = {
    "signed": bodies.decode_signed,
    "await": convert.decode_await,
    "board": convert.decode_board,
    "sum request": convert.decode_sum_request,
    "frame": convert.decode_frame,
    "part": convert.decode_part,
    "arrived": convert.decode_arrived,
    "heads given": exchange.decode_given,
    "heads shown": exchange.decode_shown,
    "renewal": renewals.decode_request,
}

WIRE = {
    "Signed": ["kind", "body", "signer", "signature"],
    "KeyRequest": ["study_digest", "epoch", "silo", "public_key"],
    "KeyAnnounce": ["study_digest", "epoch", "roster_digest", "key_id"],
    "KeyGrant": ["announce", "giver", "receiver", "request_hash", "enc"],
    "Advertise": ["ctx", "round", "silo", "pk_c", "pk_s", "b_commit", "heads"],
    "ShareBox": ["receiver", "box_c", "box_s", "commit_b", "commit_k"],
    "Shares": ["ctx", "round", "silo", "advertise_set", "boxes"],
    "UploadHeader": ["ctx", "round", "silo", "share_set", "frame_bytes", "frame_sha256", "seeds_sha256", "tag"],
    "UploadPart": ["header", "seeds", "frame", "index"],
    "Arrived": ["pieces"],
    "Survivor": ["silo", "header_hash"],
    "Survivors": ["ctx", "round", "share_set", "survivors", "sum_frame_bytes", "sum_frame_sha256"],
    "Sign": ["ctx", "round", "survivors_hash"],
    "Reject": ["ctx", "round", "survivors_hash", "code"],
    "Unmask": ["ctx", "round", "silo", "survivors_hash", "sealed"],
    "Close": [
        "ctx",
        "round",
        "survivors_hash",
        "chain",
        "sum_mac",
        "ledger_size",
        "ledger_root",
        "state_mac",
        "witnessed",
    ],
    "LedgerHead": ["silo", "size", "root"],
    "HeadQuery": ["study_digest", "nonce"],
    "HeadAnswer": ["study_digest", "nonce", "silo", "close", "advertise", "others", "cosigned", "announce"],
    "ConsistencyProof": ["size", "nodes"],
    "ShownHead": ["silo", "note", "proof"],
    "CosignedHead": ["silo", "note", "cosigner"],
    "HeldHead": ["silo", "size"],
    "HeadsGiven": ["study_digest", "cosigner", "note", "proofs", "cosigned", "held"],
    "HeadsShown": ["heads", "cosigned", "wanted"],
    "RenewRequest": ["study_digest", "request"],
    "Renewed": ["admission"],
    "Unopenable": ["ctx", "round", "survivors_hash", "unmask_set", "culprit", "code"],
    "Abandon": ["study_digest", "round", "reason"],
    "SnapshotRequest": ["study_digest", "silo", "least_round"],
    "SnapshotOffer": ["ctx", "round", "silo", "chain", "state_mac", "size", "frame_sha256"],
    "SnapshotFrame": ["study_digest", "round", "frame", "data"],
    "SnapshotDownload": ["study_digest", "round", "first_frame"],
    "AwaitRequest": ["study_digest", "round", "phase", "wait_milliseconds", "attentive", "held", "held_digest"],
    "Board": ["reached", "phase", "messages", "seeds", "wanted", "frame", "roster_statement", "first"],
    "SumRequest": ["study_digest", "round", "first_frame"],
    "FrameRequest": ["study_digest", "round", "silo", "frame"],
    "Frame": ["data"],
    "Receipt": [],
}
"""Every field that travels. Before one is added here: can it hold a key, an update, a weight or a metric in clear?"""


# ---- what the wire can hold


def test_no_field_is_on_the_wire_that_nobody_looked_at() -> None:
    present = {
        name: [field.name for field in message.fields] for name, message in pb.DESCRIPTOR.message_types_by_name.items()
    }
    assert present == WIRE


def test_no_field_is_a_float() -> None:
    floats = {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}
    fields = [field for message in pb.DESCRIPTOR.message_types_by_name.values() for field in message.fields]
    assert not [field.full_name for field in fields if field.cpp_type in floats]


def test_phases_have_the_numbers_of_the_wire() -> None:
    assert {phase.name: phase.value for phase in Phase} == {name: number for name, number in pb.Phase.items() if number}


def test_every_kind_of_message_has_its_own_name() -> None:
    names = [bodies.kind_of(kind) for kind in KINDS]
    assert len(set(names)) == len(names) == 16
    assert bodies.kind_of(UploadHeader) == "upload-header"


# ---- there and back


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


# ---- what is refused


@given(some.any_body, st.sampled_from(KINDS))
def test_a_message_signed_as_one_kind_is_refused_as_another(body: bodies.Body, kind: type[bodies.Body]) -> None:
    assume(kind is not type(body))
    signed = bodies.seal(body, "north", KEY)
    with pytest.raises(IdentityError):
        bodies.open_signed(signed, kind, PUBLIC)
    relabelled = Signed(bodies.kind_of(kind), signed.body, signed.signer, signed.signature)
    with pytest.raises(IdentityError):
        bodies.open_signed(relabelled, kind, PUBLIC)


@given(some.any_body, st.data())
def test_an_altered_message_is_refused(body: bodies.Body, data: st.DataObject) -> None:
    signed = bodies.seal(body, "north", KEY)
    position = data.draw(st.integers(0, len(signed.body) - 1))
    flipped = bytes(b ^ (1 << data.draw(st.integers(0, 7))) if i == position else b for i, b in enumerate(signed.body))
    with pytest.raises(IdentityError):
        bodies.open_signed(Signed(signed.kind, flipped, signed.signer, signed.signature), type(body), PUBLIC)
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(IdentityError):
        bodies.open_signed(signed, type(body), other)


@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_signed_garbage_is_a_protocol_error(kind: type[typing.Any], garbage: bytes) -> None:
    signed = sign(bodies.kind_of(kind), garbage, "north", KEY)
    try:
        decoded = bodies.open_signed(signed, kind, PUBLIC)
    except ProtocolError:
        return
    assert isinstance(decoded, kind)


@given(some.any_body, st.data())
def test_a_signed_but_damaged_body_is_a_protocol_error(body: bodies.Body, data: st.DataObject) -> None:
    encoded = bodies.encode_body(body)
    cut = data.draw(st.integers(0, len(encoded)))
    damaged = encoded[:cut] + data.draw(st.binary(max_size=20)) + encoded[data.draw(st.integers(cut, len(encoded))) :]
    signed = sign(bodies.kind_of(type(body)), damaged, "north", KEY)
    with contextlib.suppress(ProtocolError):
        bodies.open_signed(signed, type(body), PUBLIC)


@pytest.mark.parametrize("name", DECODERS)
@given(data=st.binary(max_size=300))
def test_garbage_never_raises_anything_else(name: str, data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        DECODERS[name](data)


@given(some.boards, st.data())
def test_a_truncated_board_never_raises_anything_else(board, data: st.DataObject) -> None:  # type: ignore[no-untyped-def]
    encoded = convert.encode_board(board)
    with contextlib.suppress(ProtocolError):
        convert.decode_board(encoded[: data.draw(st.integers(0, len(encoded)))])


UNKNOWN = b"\xfa\x3f\x03abc"
"""Field 1023, three bytes: a field of some later version."""


@given(some.any_body)
def test_unknown_fields_are_refused(body: bodies.Body) -> None:
    signed = sign(bodies.kind_of(type(body)), bodies.encode_body(body) + UNKNOWN, "north", KEY)
    with pytest.raises(ProtocolError, match="unknown fields"):
        bodies.open_signed(signed, type(body), PUBLIC)


@pytest.mark.parametrize(
    "data",
    [
        bodies.encode_signed(bodies.seal(Sign(b"1" * 32, 1, b"2" * 32), "north", KEY)),
        pb.AwaitRequest(study_digest=b"1" * 32, phase=pb.SURVIVORS).SerializeToString(),
        pb.Board(reached=True, phase=pb.SURVIVORS).SerializeToString(),
        pb.SumRequest(study_digest=b"1" * 32, round=1).SerializeToString(),
        pb.Frame(data=b"1").SerializeToString(),
        pb.UploadPart(seeds=b"1").SerializeToString(),
        pb.Arrived(pieces=1).SerializeToString(),
        pb.HeadsGiven(study_digest=b"1" * 32, cosigner=b"1").SerializeToString(),
        pb.HeadsShown(wanted=[1]).SerializeToString(),
        pb.RenewRequest(study_digest=b"1" * 32, request=b"1").SerializeToString(),
    ],
    ids=list(DECODERS),
)
def test_unknown_fields_are_refused_everywhere(data: bytes, request: pytest.FixtureRequest) -> None:
    decode = DECODERS[request.node.callspec.id]
    decode(data)
    with pytest.raises(ProtocolError, match="unknown fields"):
        decode(data + UNKNOWN)


@pytest.mark.parametrize("part", [{}, {"index": 3}, {"seeds": b"1", "index": 1}, {"frame": b"1", "index": MAX_FRAMES}])
def test_a_part_that_is_none_or_has_a_number_that_it_cannot_have_is_refused(part: dict[str, object]) -> None:
    with pytest.raises(ProtocolError) as caught:
        convert.decode_part(pb.UploadPart(**part).SerializeToString())  # type: ignore[arg-type]
    assert caught.value.code == "protocol.malformed"


def test_unknown_fields_of_inner_messages_are_refused() -> None:
    inner = bodies.encode_signed(bodies.seal(Sign(b"1" * 32, 1, b"2" * 32), "north", KEY)) + UNKNOWN
    board = b"\x08\x01\x10\x06\x1a" + bytes([len(inner) & 0x7F | 0x80, len(inner) >> 7]) + inner
    with pytest.raises(ProtocolError, match="unknown fields"):
        convert.decode_board(board)


@pytest.mark.parametrize("phase", [0, 13, 2**31 - 1])
def test_an_unknown_phase_is_refused(phase: int) -> None:
    varint = pb.SumRequest(round=phase).SerializeToString()[1:] if phase else b"\0"
    with pytest.raises(ProtocolError):
        convert.decode_board(b"\x10" + varint)


@pytest.mark.parametrize("name", DECODERS)
def test_what_is_too_large_is_refused_before_it_is_parsed(name: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        DECODERS[name](b"\xff" * (parsing.MAX_MESSAGE_BYTES + 1))
    assert caught.value.code == "protocol.too_large"


def test_a_body_larger_than_its_limit_is_refused() -> None:
    signed = sign("sign", bytes(parsing.MAX_BODY_BYTES + 1), "north", KEY)
    for decode in (
        lambda: bodies.decode_signed(bodies.encode_signed(signed)),
        lambda: bodies.open_signed(signed, Sign, PUBLIC),
    ):
        with pytest.raises(ProtocolError) as caught:
            decode()
        assert caught.value.code == "protocol.too_large"


@pytest.mark.parametrize(
    "signed",
    [
        Signed("k" * 41, b"", "north", bytes(64)),
        Signed("sign", b"", "n" * 61, bytes(64)),
        Signed("sign", b"", "north", bytes(63)),
        Signed("sign", b"", "north", b""),
    ],
)
def test_a_malformed_envelope_is_refused(signed: Signed) -> None:
    with pytest.raises(ProtocolError) as caught:
        bodies.decode_signed(bodies.encode_signed(signed))
    assert caught.value.code == "protocol.malformed"


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(ProtocolError):
        convert.decode_part(b"")


def test_the_largest_upload_header_fits_its_limit() -> None:
    count = 20_000
    header = UploadHeader(b"1" * 32, 1, 1, (2**20,) * count, (b"2" * 32,) * count, b"3" * 32, b"4" * 32, b"5" * 16)
    assert bodies.open_signed(bodies.seal(header, "north", KEY), UploadHeader, PUBLIC) == header

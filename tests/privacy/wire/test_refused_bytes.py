"""What arrives is never taken for a message that it is not: garbage, other kinds, unknown fields, what is too large."""

import contextlib
import typing

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, given
from hypothesis import strategies as st

from privacy.channel.envelope import Signed, sign
from privacy.errors import IdentityError, ProtocolError
from privacy.wire import bodies, convert, exchange, parsing, renewals
from privacy.wire import collegium_pb2 as pb
from privacy.wire.limits import MAX_FRAMES
from privacy.wire.messages import Sign
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

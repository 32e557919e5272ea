"""Messages to protobuf bytes and back: the only importer of the generated code.

Sizes are checked before parsing; unknown fields, wrong types and out-of-range values are refused with
`ProtocolError`, so that nothing unvalidated exists as a value. A signed body is decoded only by
`open_signed`, after its signature was verified, and is never encoded again.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import DecodeError, Message

from privacy.channel.envelope import Signed, sign, verify
from privacy.errors import ProtocolError
from privacy.wire import collegium_pb2 as pb
from privacy.wire.messages import (
    Abandon,
    Advertise,
    AwaitRequest,
    Board,
    Close,
    FrameRequest,
    KeyAnnounce,
    KeyGrant,
    KeyRequest,
    Phase,
    Reject,
    ShareBox,
    Shares,
    Sign,
    SumRequest,
    Survivors,
    Unmask,
    UploadHeader,
)

MAX_BODY_BYTES = 2**20
"""The largest signed body: an upload header of `MAX_FRAMES` frames fits."""
MAX_MESSAGE_BYTES = 4 * 2**20
"""The largest message either side accepts, as the channel's own limit: a board, or one frame."""

Body = (
    KeyRequest
    | KeyAnnounce
    | KeyGrant
    | Advertise
    | Shares
    | UploadHeader
    | Survivors
    | Sign
    | Reject
    | Unmask
    | Close
    | Abandon
)
PART_BYTES = 2**20
"""A part of a board holds about so many bytes of messages."""

BodyT = TypeVar(
    "BodyT",
    KeyRequest,
    KeyAnnounce,
    KeyGrant,
    Advertise,
    Shares,
    UploadHeader,
    Survivors,
    Sign,
    Reject,
    Unmask,
    Close,
    Abandon,
)


def encode_body(body: Body) -> bytes:
    """The bytes that are signed for a message."""
    to_wire, _, _ = _BODIES[type(body)]
    return bytes(to_wire(body).SerializeToString(deterministic=True))


def open_signed(signed: Signed, kind: type[BodyT], public_key: bytes) -> BodyT:
    """Verify a signature, then decode the body as `kind`.

    Raises:
        IdentityError: the signature or the kind is not what was claimed.
        ProtocolError: the verified bytes are not a well-formed `kind`.
    """
    body = verify(signed, public_key, kind_of(kind))
    _, pb_type, from_wire = _BODIES[kind]
    decoded = from_wire(_parse(pb_type, body, MAX_BODY_BYTES))
    if not isinstance(decoded, kind):
        raise ProtocolError("a message is of another kind than it says", code="protocol.malformed")
    return decoded


def seal(body: Body, signer: str, key: Ed25519PrivateKey) -> Signed:
    """Encode a message once and sign it with the identity key of `signer`."""
    return sign(kind_of(type(body)), encode_body(body), signer, key)


def kind_of(body: type[Body]) -> str:
    """The kind under which a message is signed: its name in lower case, words joined by hyphens."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", body.__name__).lower()


def encode_signed(signed: Signed) -> bytes:
    """A signed message as it travels and as it is stored."""
    return bytes(_signed_to(signed).SerializeToString(deterministic=True))


def decode_signed(data: bytes) -> Signed:
    """Raises ProtocolError for anything malformed; the signature is not checked here."""
    return _signed_from(_parse(pb.Signed, data, MAX_MESSAGE_BYTES))


def encode_await(request: AwaitRequest) -> bytes:
    """A long-poll request."""
    return pb.AwaitRequest(
        study_digest=request.study_digest,
        round=request.round_number,
        phase=pb.Phase.Name(request.phase),
        wait_milliseconds=request.wait_milliseconds,
    ).SerializeToString()


def decode_await(data: bytes) -> AwaitRequest:
    """Raises ProtocolError for anything malformed."""
    message = _parse(pb.AwaitRequest, data, 1024)
    return AwaitRequest(message.study_digest, message.round, _phase(message.phase), message.wait_milliseconds)


def board_parts(board: Board) -> Iterator[Board]:
    """Cut a board into parts that each fit a message; joined in order they are the board."""
    messages: list[Signed] = []
    size = 0
    for message in board.messages:
        if messages and size + len(message.body) > PART_BYTES:
            yield replace(board, messages=tuple(messages), seeds=())
            messages, size = [], 0
        messages.append(message)
        size += len(message.body)
    yield replace(board, messages=tuple(messages), seeds=())
    for seeds in board.seeds:
        yield replace(board, messages=(), seeds=(seeds,))


def join_board(parts: Iterable[Board]) -> Board:
    """The board of its parts.

    Raises:
        ProtocolError: no part, or parts that contradict each other.
    """
    every = tuple(parts)
    if not every or len({(part.reached, part.phase) for part in every}) != 1:
        raise ProtocolError("a board has no parts, or parts of different boards", code="protocol.malformed")
    messages = tuple(message for part in every for message in part.messages)
    seeds = tuple(seed for part in every for seed in part.seeds)
    return Board(every[0].reached, every[0].phase, messages, seeds)


def encode_board(board: Board) -> bytes:
    """One part of what a round has published."""
    return pb.Board(
        reached=board.reached,
        phase=pb.Phase.Name(board.phase),
        messages=[_signed_to(signed) for signed in board.messages],
        seeds=list(board.seeds),
    ).SerializeToString()


def decode_board(data: bytes) -> Board:
    """Raises ProtocolError for anything malformed."""
    message = _parse(pb.Board, data, MAX_MESSAGE_BYTES)
    return Board(
        message.reached,
        _phase(message.phase),
        tuple(_signed_from(signed) for signed in message.messages),
        tuple(message.seeds),
    )


def encode_sum_request(request: SumRequest) -> bytes:
    """Which sum to download."""
    return pb.SumRequest(
        study_digest=request.study_digest, round=request.round_number, first_frame=request.first_frame
    ).SerializeToString()


def decode_sum_request(data: bytes) -> SumRequest:
    """Raises ProtocolError for anything malformed."""
    message = _parse(pb.SumRequest, data, 1024)
    return SumRequest(message.study_digest, message.round, message.first_frame)


def encode_frame_request(request: FrameRequest) -> bytes:
    """Which frame of an upload to download."""
    return pb.FrameRequest(
        study_digest=request.study_digest,
        round=request.round_number,
        silo=request.silo_index,
        frame=request.frame,
    ).SerializeToString()


def decode_frame_request(data: bytes) -> FrameRequest:
    """Raises ProtocolError for anything malformed."""
    message = _parse(pb.FrameRequest, data, 1024)
    return FrameRequest(message.study_digest, message.round, message.silo, message.frame)


def encode_frame(data: bytes) -> bytes:
    """One frame of the sum."""
    return pb.Frame(data=data).SerializeToString()


def decode_frame(data: bytes) -> bytes:
    """Raises ProtocolError for anything malformed."""
    return bytes(_parse(pb.Frame, data, MAX_MESSAGE_BYTES).data)


def encode_header_part(header: Signed) -> bytes:
    """First part of an upload."""
    return pb.UploadPart(header=_signed_to(header)).SerializeToString()


def encode_seeds_part(seeds: bytes) -> bytes:
    """Second part of an upload."""
    return pb.UploadPart(seeds=seeds).SerializeToString()


def encode_frame_part(frame: bytes) -> bytes:
    """One frame of an upload."""
    return pb.UploadPart(frame=frame).SerializeToString()


def decode_part(data: bytes) -> Signed | tuple[str, bytes]:
    """A part of an upload: the signed header, or ("seeds", bytes), or ("frame", bytes).

    Raises:
        ProtocolError: malformed.
    """
    message = _parse(pb.UploadPart, data, MAX_MESSAGE_BYTES)
    part = message.WhichOneof("part")
    if part == "header":
        return _signed_from(message.header)
    if part == "seeds":
        return "seeds", bytes(message.seeds)
    if part == "frame":
        return "frame", bytes(message.frame)
    raise ProtocolError("an upload has an empty part", code="protocol.malformed")


RECEIPT = b""
"""An empty `Receipt`: the message was stored durably."""


SERVICE = pb.DESCRIPTOR.services_by_name["Aggregator"]
"""The description of the service, from which method names and the completeness check come."""


# ---- between values and protobuf


def _parse(kind: Any, data: bytes, limit: int) -> Any:
    if len(data) > limit:
        raise ProtocolError("a message is larger than its limit", code="protocol.too_large")
    message: Message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ProtocolError("a message cannot be parsed", code="protocol.malformed") from error
    known = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != known:
        raise ProtocolError("a message has unknown fields", code="protocol.malformed")
    return message


def _phase(value: int) -> Phase:
    try:
        return Phase(value)
    except ValueError as error:
        raise ProtocolError("a message names an unknown phase", code="protocol.malformed") from error


def _signed_to(signed: Signed) -> pb.Signed:
    return pb.Signed(kind=signed.kind, body=signed.body, signer=signed.signer, signature=signed.signature)


def _signed_from(message: pb.Signed) -> Signed:
    if len(message.body) > MAX_BODY_BYTES:
        raise ProtocolError("a message body is larger than its limit", code="protocol.too_large")
    if len(message.kind) > 40 or len(message.signer) > 60 or len(message.signature) != 64:
        raise ProtocolError("a signed message is malformed", code="protocol.malformed")
    return Signed(message.kind, message.body, message.signer, message.signature)


_BODIES: dict[type[Any], tuple[Callable[[Any], Any], type[Message], Callable[[Any], Body]]] = {
    KeyRequest: (
        lambda m: pb.KeyRequest(study_digest=m.study_digest, epoch=m.epoch, silo=m.silo_index, public_key=m.public_key),
        pb.KeyRequest,
        lambda w: KeyRequest(w.study_digest, w.epoch, w.silo, w.public_key),
    ),
    KeyAnnounce: (
        lambda m: pb.KeyAnnounce(
            study_digest=m.study_digest, epoch=m.epoch, roster_digest=m.roster_digest, key_id=m.key_id
        ),
        pb.KeyAnnounce,
        lambda w: KeyAnnounce(w.study_digest, w.epoch, w.roster_digest, w.key_id),
    ),
    KeyGrant: (
        lambda m: pb.KeyGrant(
            announce=_signed_to(m.announce),
            giver=m.giver,
            receiver=m.receiver,
            request_hash=m.request_hash,
            enc=m.enc,
        ),
        pb.KeyGrant,
        lambda w: KeyGrant(_signed_from(w.announce), w.giver, w.receiver, w.request_hash, w.enc),
    ),
    Advertise: (
        lambda m: pb.Advertise(
            ctx=m.ctx, round=m.round_number, silo=m.silo_index, pk_c=m.pk_c, pk_s=m.pk_s, b_commit=m.b_commit
        ),
        pb.Advertise,
        lambda w: Advertise(w.ctx, w.round, w.silo, w.pk_c, w.pk_s, w.b_commit),
    ),
    Shares: (
        lambda m: pb.Shares(
            ctx=m.ctx,
            round=m.round_number,
            silo=m.silo_index,
            advertise_set=m.advertise_set,
            boxes=[
                pb.ShareBox(
                    receiver=box.receiver,
                    box_c=box.box_c,
                    box_s=box.box_s,
                    commit_b=box.commit_b,
                    commit_k=box.commit_k,
                )
                for box in m.boxes
            ],
        ),
        pb.Shares,
        lambda w: Shares(
            w.ctx,
            w.round,
            w.silo,
            w.advertise_set,
            tuple(ShareBox(box.receiver, box.box_c, box.box_s, box.commit_b, box.commit_k) for box in w.boxes),
        ),
    ),
    UploadHeader: (
        lambda m: pb.UploadHeader(
            ctx=m.ctx,
            round=m.round_number,
            silo=m.silo_index,
            share_set=m.share_set,
            frame_bytes=m.frame_bytes,
            frame_sha256=m.frame_sha256,
            seeds_sha256=m.seeds_sha256,
            tag=m.tag,
        ),
        pb.UploadHeader,
        lambda w: UploadHeader(
            w.ctx,
            w.round,
            w.silo,
            tuple(w.frame_bytes),
            tuple(w.frame_sha256),
            w.seeds_sha256,
            w.share_set,
            w.tag,
        ),
    ),
    Survivors: (
        lambda m: pb.Survivors(
            ctx=m.ctx,
            round=m.round_number,
            share_set=m.share_set,
            survivors=[pb.Survivor(silo=index, header_hash=digest) for index, digest in m.members],
            sum_frame_bytes=m.sum_frame_bytes,
            sum_frame_sha256=m.sum_frame_sha256,
        ),
        pb.Survivors,
        lambda w: Survivors(
            w.ctx,
            w.round,
            tuple((member.silo, member.header_hash) for member in w.survivors),
            tuple(w.sum_frame_bytes),
            tuple(w.sum_frame_sha256),
            w.share_set,
        ),
    ),
    Sign: (
        lambda m: pb.Sign(ctx=m.ctx, round=m.round_number, survivors_hash=m.survivors_hash),
        pb.Sign,
        lambda w: Sign(w.ctx, w.round, w.survivors_hash),
    ),
    Reject: (
        lambda m: pb.Reject(ctx=m.ctx, round=m.round_number, survivors_hash=m.survivors_hash, code=m.code),
        pb.Reject,
        lambda w: Reject(w.ctx, w.round, w.survivors_hash, w.code),
    ),
    Unmask: (
        lambda m: pb.Unmask(
            ctx=m.ctx, round=m.round_number, silo=m.silo_index, survivors_hash=m.survivors_hash, sealed=m.sealed
        ),
        pb.Unmask,
        lambda w: Unmask(w.ctx, w.round, w.silo, w.survivors_hash, w.sealed),
    ),
    Close: (
        lambda m: pb.Close(
            ctx=m.ctx,
            round=m.round_number,
            survivors_hash=m.survivors_hash,
            chain=m.chain,
            sum_mac=m.sum_mac,
            ledger_size=m.ledger_size,
            ledger_root=m.ledger_root,
        ),
        pb.Close,
        lambda w: Close(w.ctx, w.round, w.survivors_hash, w.chain, w.sum_mac, w.ledger_size, w.ledger_root),
    ),
    Abandon: (
        lambda m: pb.Abandon(study_digest=m.study_digest, round=m.round_number, reason=m.reason),
        pb.Abandon,
        lambda w: Abandon(w.study_digest, w.round, w.reason),
    ),
}

"""Calls of the service to protobuf bytes and back.

Sizes are checked before parsing; unknown fields, wrong types and out-of-range values are refused with
`ProtocolError`, so that nothing unvalidated exists as a value. Signed messages are `privacy.wire.bodies`'.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire import collegium_pb2 as pb
from privacy.wire.heads import HeadQuery
from privacy.wire.parsing import MAX_MESSAGE_BYTES, parse, signed_from, signed_to
from privacy.wire.requests import Arrived, AwaitRequest, Board, FrameRequest, Phase, Piece, SumRequest
from privacy.wire.snapshots import SnapshotDownload, SnapshotFrame

PART_BYTES = 2**20
"""A part of a board holds about so many bytes of messages."""


def encode_await(request: AwaitRequest) -> bytes:
    """A long-poll request."""
    return pb.AwaitRequest(
        study_digest=request.study_digest,
        round=request.round_number,
        phase=pb.Phase.Name(request.phase),
        wait_milliseconds=request.wait_milliseconds,
        attentive=request.attentive,
        held=request.held,
        held_digest=request.held_digest,
    ).SerializeToString()


def decode_await(data: bytes) -> AwaitRequest:
    """Raises ProtocolError for anything malformed."""
    message = parse(pb.AwaitRequest, data, 1024)
    return AwaitRequest(
        message.study_digest,
        message.round,
        _phase(message.phase),
        message.wait_milliseconds,
        message.attentive,
        message.held,
        message.held_digest,
    )


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
    common = {(part.reached, part.phase, part.wanted, part.frame, part.roster_statement, part.first) for part in every}
    if len(common) != 1:
        raise ProtocolError("a board has no parts, or parts of different boards", code="protocol.malformed")
    messages = tuple(message for part in every for message in part.messages)
    seeds = tuple(seed for part in every for seed in part.seeds)
    return replace(every[0], messages=messages, seeds=seeds)


def encode_board(board: Board) -> bytes:
    """One part of what a round has published."""
    return pb.Board(
        reached=board.reached,
        phase=pb.Phase.Name(board.phase),
        messages=[signed_to(signed) for signed in board.messages],
        seeds=list(board.seeds),
        wanted=board.wanted,
        frame=board.frame,
        first=board.first,
        roster_statement=None if board.roster_statement is None else signed_to(board.roster_statement),
    ).SerializeToString()


def decode_board(data: bytes) -> Board:
    """Raises ProtocolError for anything malformed."""
    message = parse(pb.Board, data, MAX_MESSAGE_BYTES)
    return Board(
        message.reached,
        _phase(message.phase),
        tuple(signed_from(signed) for signed in message.messages),
        tuple(message.seeds),
        message.wanted,
        message.frame,
        signed_from(message.roster_statement) if message.HasField("roster_statement") else None,
        message.first,
    )


def encode_sum_request(request: SumRequest) -> bytes:
    """Which sum to download."""
    return pb.SumRequest(
        study_digest=request.study_digest, round=request.round_number, first_frame=request.first_frame
    ).SerializeToString()


def decode_sum_request(data: bytes) -> SumRequest:
    """Raises ProtocolError for anything malformed."""
    message = parse(pb.SumRequest, data, 1024)
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
    message = parse(pb.FrameRequest, data, 1024)
    return FrameRequest(message.study_digest, message.round, message.silo, message.frame)


def encode_snapshot_download(request: SnapshotDownload) -> bytes:
    """Which snapshot to download."""
    return pb.SnapshotDownload(
        study_digest=request.study_digest, round=request.round_number, first_frame=request.first_frame
    ).SerializeToString()


def decode_snapshot_download(data: bytes) -> SnapshotDownload:
    """Raises ProtocolError for anything malformed."""
    message = parse(pb.SnapshotDownload, data, 1024)
    return SnapshotDownload(message.study_digest, message.round, message.first_frame)


def encode_snapshot_frame(frame: SnapshotFrame) -> bytes:
    """One frame of an offered snapshot."""
    return pb.SnapshotFrame(
        study_digest=frame.study_digest, round=frame.round_number, frame=frame.frame, data=frame.data
    ).SerializeToString()


def decode_snapshot_frame(data: bytes) -> SnapshotFrame:
    """Raises ProtocolError for anything malformed."""
    message = parse(pb.SnapshotFrame, data, MAX_MESSAGE_BYTES)
    return SnapshotFrame(message.study_digest, message.round, message.frame, message.data)


def encode_head_query(query: HeadQuery) -> bytes:
    """What a silo asks about its ledger."""
    return pb.HeadQuery(study_digest=query.study_digest, nonce=query.nonce).SerializeToString()


def decode_head_query(data: bytes) -> HeadQuery:
    """Raises ProtocolError for anything malformed."""
    message = parse(pb.HeadQuery, data, 1024)
    return HeadQuery(message.study_digest, message.nonce)


def encode_frame(data: bytes) -> bytes:
    """One frame of a download."""
    return pb.Frame(data=data).SerializeToString()


def decode_frame(data: bytes) -> bytes:
    """Raises ProtocolError for anything malformed."""
    return bytes(parse(pb.Frame, data, MAX_MESSAGE_BYTES).data)


def encode_header_part(header: Signed) -> bytes:
    """First part of an upload."""
    return pb.UploadPart(header=signed_to(header)).SerializeToString()


def encode_piece(piece: Piece) -> bytes:
    """The seeds or a frame of an upload."""
    if piece.number == 0:
        return pb.UploadPart(seeds=piece.data).SerializeToString()
    return pb.UploadPart(frame=piece.data, index=piece.number - 1).SerializeToString()


def decode_part(data: bytes) -> Signed | Piece:
    """A part of an upload: the signed header, or a piece.

    Raises:
        ProtocolError: malformed.
    """
    message = parse(pb.UploadPart, data, MAX_MESSAGE_BYTES)
    part = message.WhichOneof("part")
    if part is None or (part != "frame" and message.index):
        raise ProtocolError("an upload has an empty part, or numbers what is no frame", code="protocol.malformed")
    if part == "header":
        return signed_from(message.header)
    return Piece(0, bytes(message.seeds)) if part == "seeds" else Piece(message.index + 1, bytes(message.frame))


def encode_arrived(arrived: Arrived) -> bytes:
    """What is stored of an upload."""
    return pb.Arrived(pieces=arrived.pieces).SerializeToString()


def decode_arrived(data: bytes) -> Arrived:
    """Raises ProtocolError for anything malformed."""
    return Arrived(parse(pb.Arrived, data, 1024).pieces)


RECEIPT = b""
"""An empty `Receipt`: the message was stored durably."""


SERVICE = pb.DESCRIPTOR.services_by_name["Aggregator"]
"""The description of the service, from which method names and the completeness check come."""


def _phase(value: int) -> Phase:
    try:
        return Phase(value)
    except ValueError as error:
        raise ProtocolError("a message names an unknown phase", code="protocol.malformed") from error

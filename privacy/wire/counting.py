"""Counts the fields of a message before an object is made of any: two bytes of a peer may become a hundred of ours.

How often a field may stand follows from the most silos, frames and heads that there are; one that is not repeated
stands once. What a field holds is for the parser, and for whoever makes a value of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from privacy.errors import ProtocolError
from privacy.wire.heads import MAX_PROOF_NODES
from privacy.wire.limits import MAX_FRAMES, MAX_HEADS, MAX_SILOS

PARTIES = MAX_SILOS + 1
"""All silos, and the aggregator."""
MOST: Mapping[str, int] = {
    "Advertise.heads": MAX_HEADS * MAX_SILOS,
    "Shares.boxes": MAX_SILOS,
    "UploadHeader.frame_bytes": MAX_FRAMES,
    "UploadHeader.frame_sha256": MAX_FRAMES,
    "Survivors.survivors": MAX_SILOS,
    "Survivors.sum_frame_bytes": MAX_FRAMES,
    "Survivors.sum_frame_sha256": MAX_FRAMES,
    "Close.witnessed": MAX_SILOS,
    "SnapshotOffer.frame_sha256": MAX_FRAMES,
    "HeadAnswer.others": MAX_SILOS - 1,
    "HeadAnswer.cosigned": PARTIES,
    "ConsistencyProof.nodes": MAX_PROOF_NODES,
    "HeadsGiven.proofs": PARTIES,
    "HeadsGiven.cosigned": PARTIES,
    "HeadsGiven.held": PARTIES,
    "HeadsShown.heads": PARTIES,
    "HeadsShown.cosigned": PARTIES,
    "HeadsShown.wanted": PARTIES,
    "Board.messages": PARTIES,
    "Board.seeds": MAX_SILOS,
}
"""How often each repeated field of the protocol may stand in its message."""

_VARINT, _DELIMITED = 0, 2
_GO_ON = bytes(range(0x80, 0x100))
"""Bytes after which a varint has another."""
_DELIMITED_TYPES = (FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE)
_VARINT_TYPES = (
    FieldDescriptor.TYPE_BOOL,
    FieldDescriptor.TYPE_ENUM,
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
)


@dataclass(frozen=True)
class _Field:
    """A field as it stands in bytes: how often at most, the kind of message in it if any, whether it holds numbers."""

    number: int
    most: int
    inner: Descriptor | None
    packed: bool


def check_counts(kind: Descriptor, data: bytes) -> None:
    """Refuse a message in which a field stands too often, also within another; it costs no more than what is allowed.

    Raises:
        ProtocolError: that, malformed, or with fields that the kind does not have.
    """
    _check(kind, data, 0, len(data))


def _check(kind: Descriptor, data: bytes, at: int, end: int) -> None:
    fields, counts = _fields(kind), dict[int, int]()
    while at < end:
        tag, at = _varint(data, at, end)
        field = fields.get(tag)
        if field is None:
            raise ProtocolError("a message has unknown fields", code="protocol.malformed")
        value, at = _varint(data, at, end)
        after, count = at, 1
        if tag & 7 == _DELIMITED:
            after += value
            if after > end:
                raise _malformed()
            if field.packed:
                count = len(data[at:after].translate(None, _GO_ON))
        counts[field.number] = counts.get(field.number, 0) + count
        if counts[field.number] > field.most:
            raise ProtocolError("a message has a field more often than it can", code="protocol.malformed")
        if field.inner is not None:
            _check(field.inner, data, at, after)
        at = after


@cache
def _fields(kind: Descriptor) -> dict[int, _Field]:
    """The fields of a kind by the tag that stands before them; numbers may be packed, or each have a tag."""
    found = {}
    for field in kind.fields:
        most = MOST[f"{kind.name}.{field.name}"] if field.is_repeated else 1
        if field.type in _DELIMITED_TYPES:
            found[field.number << 3 | _DELIMITED] = _Field(field.number, most, field.message_type, packed=False)
        elif field.type in _VARINT_TYPES:
            found[field.number << 3 | _VARINT] = _Field(field.number, most, None, packed=False)
            if field.is_repeated:
                found[field.number << 3 | _DELIMITED] = _Field(field.number, most, None, packed=True)
        else:
            raise RuntimeError(f"fields of the type of {field.full_name} are not counted")
    return found


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The number that begins at a place, and the place after it."""
    value = 0
    for position in range(at, min(at + 10, end)):
        byte = data[position]
        value |= (byte & 0x7F) << 7 * (position - at)
        if byte < 0x80:
            return value, position + 1
    raise _malformed()


def _malformed() -> ProtocolError:
    return ProtocolError("a message cannot be parsed", code="protocol.malformed")

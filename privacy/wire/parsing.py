"""The strict parser of the wire: sizes and counts before parsing, no unknown field, and `Signed`, in which all travels.

Nothing here knows what a message means; `privacy.wire.bodies` and `privacy.wire.convert` do.
"""

from typing import Any

from google.protobuf.message import DecodeError, Message

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire import collegium_pb2 as pb
from privacy.wire.counting import check_counts

MAX_BODY_BYTES = 2**20
"""The largest signed body: an upload header of `MAX_FRAMES` frames fits."""
MAX_MESSAGE_BYTES = 4 * 2**20
"""The largest message either side accepts, as the channel's own limit: a board, or one frame."""


def parse(kind: Any, data: bytes, limit: int) -> Any:
    """The message of a generated `kind` in at most `limit` bytes.

    Raises:
        ProtocolError: too large, malformed, with fields that the kind does not have, or with one too often.
    """
    if len(data) > limit:
        raise ProtocolError("a message is larger than its limit", code="protocol.too_large")
    check_counts(kind.DESCRIPTOR, data)
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


def signed_to(signed: Signed) -> pb.Signed:
    """A signed message as a generated one."""
    return pb.Signed(kind=signed.kind, body=signed.body, signer=signed.signer, signature=signed.signature)


def signed_from(message: pb.Signed) -> Signed:
    """A generated message as a signed one, whose signature is not checked here. Raises ProtocolError: malformed."""
    if len(message.body) > MAX_BODY_BYTES:
        raise ProtocolError("a message body is larger than its limit", code="protocol.too_large")
    if len(message.kind) > 40 or len(message.signer) > 60 or len(message.signature) != 64:
        raise ProtocolError("a signed message is malformed", code="protocol.malformed")
    return Signed(message.kind, message.body, message.signer, message.signature)

"""The signed messages of the protocol: body to bytes, bytes to body, and the signature between.

A body is decoded only by `open_signed`, after its signature was verified, and is never encoded again. How each kind
looks in protobuf is `body_forms`' business.
"""

import re
from typing import TypeVar

from privacy.channel.envelope import Signed, sign, verify
from privacy.errors import ProtocolError
from privacy.signer import Signer
from privacy.wire import collegium_pb2 as pb
from privacy.wire.body_forms import FORMS
from privacy.wire.heads import HeadAnswer
from privacy.wire.keys import KeyAnnounce, KeyGrant, KeyRequest
from privacy.wire.messages import (
    Abandon,
    Advertise,
    Close,
    Reject,
    Shares,
    Sign,
    Survivors,
    Unmask,
    Unopenable,
    UploadHeader,
)
from privacy.wire.parsing import MAX_BODY_BYTES, MAX_MESSAGE_BYTES, parse, signed_from, signed_to
from privacy.wire.snapshots import SnapshotOffer, SnapshotRequest

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
    | Unopenable
    | Abandon
    | SnapshotRequest
    | SnapshotOffer
    | HeadAnswer
)

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
    Unopenable,
    Abandon,
    SnapshotRequest,
    SnapshotOffer,
    HeadAnswer,
)


def encode_body(body: Body) -> bytes:
    """The bytes that are signed for a message."""
    to_wire, _, _ = FORMS[type(body)]
    return bytes(to_wire(body).SerializeToString(deterministic=True))


def open_signed(signed: Signed, kind: type[BodyT], public_key: bytes) -> BodyT:
    """Verify a signature, then decode the body as `kind`.

    Raises:
        IdentityError: the signature or the kind is not what was claimed.
        ProtocolError: the verified bytes are not a well-formed `kind`.
    """
    body = verify(signed, public_key, kind_of(kind))
    _, pb_type, from_wire = FORMS[kind]
    decoded = from_wire(parse(pb_type, body, MAX_BODY_BYTES))
    if not isinstance(decoded, kind):
        raise ProtocolError("a message is of another kind than it says", code="protocol.malformed")
    return decoded


def seal(body: Body, signer: str, key: Signer) -> Signed:
    """Encode a message once and sign it with the identity key of `signer`."""
    return sign(kind_of(type(body)), encode_body(body), signer, key)


def kind_of(body: type[Body]) -> str:
    """The kind under which a message is signed: its name in lower case, words joined by hyphens."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", body.__name__).lower()


def encode_signed(signed: Signed) -> bytes:
    """A signed message as it travels and as it is stored."""
    return bytes(signed_to(signed).SerializeToString(deterministic=True))


def decode_signed(data: bytes) -> Signed:
    """Raises ProtocolError for anything malformed; the signature is not checked here."""
    return signed_from(parse(pb.Signed, data, MAX_MESSAGE_BYTES))

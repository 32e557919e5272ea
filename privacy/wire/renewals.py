"""The call `Renew` to protobuf bytes and back, as `privacy.wire.convert`, of which this is a part."""

from dataclasses import dataclass

from privacy.errors import ProtocolError
from privacy.wire import collegium_pb2 as pb
from privacy.wire.parsing import parse

MAX_FILE_BYTES = 48_000
"""Neither a request nor an admission is larger."""


@dataclass(frozen=True)
class RenewRequest:
    """A request file for a new certificate, by way of the aggregator of a study."""

    study_digest: bytes
    request: bytes

    def __post_init__(self) -> None:
        if len(self.study_digest) != 32 or not 0 < len(self.request) <= MAX_FILE_BYTES:
            raise ProtocolError("a request for renewal is malformed", code="protocol.malformed")


def encode_request(request: RenewRequest) -> bytes:
    """What a silo asks."""
    return pb.RenewRequest(study_digest=request.study_digest, request=request.request).SerializeToString()


def decode_request(data: bytes) -> RenewRequest:
    """Raises ProtocolError for anything malformed."""
    message = parse(pb.RenewRequest, data, MAX_FILE_BYTES + 100)
    return RenewRequest(message.study_digest, message.request)


def encode_answer(admission: bytes) -> bytes:
    """The admission file; empty for none."""
    return pb.Renewed(admission=admission).SerializeToString()


def decode_answer(data: bytes) -> bytes:
    """Raises ProtocolError for anything malformed."""
    return bytes(parse(pb.Renewed, data, MAX_FILE_BYTES + 100).admission)

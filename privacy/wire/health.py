"""The standard health protocol of gRPC, `grpc.health.v1`, to bytes and back; the messages are grpcio-health-checking's.

What a status means is for whoever serves it. Parsing is as strict as for our own messages.
"""

from collections.abc import Mapping
from enum import IntEnum

from grpc_health.v1 import health_pb2 as pb

from privacy.errors import ProtocolError
from privacy.wire.parsing import parse

MAX_REQUEST_BYTES = 1024
MAX_ANSWER_BYTES = 1024
CHECK = f"/{pb.DESCRIPTOR.services_by_name['Health'].full_name}/Check"
"""The method that asks once."""
TIME_KEY = "collegium-time"
"""Trailing metadata of Check: the server's clock in UTC (ISO 8601), for who compares it with its own."""
SERVICE = pb.DESCRIPTOR.services_by_name["Health"]
"""The description of the service, from which method names and the completeness check come."""


class Status(IntEnum):
    """Of a service; numbers are those of the wire."""

    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


def decode_check(data: bytes) -> str:
    """The service that Check and Watch ask about; empty for the whole server. Raises ProtocolError: malformed."""
    return str(parse(pb.HealthCheckRequest, data, MAX_REQUEST_BYTES).service)


def encode_check(service: str) -> bytes:
    """The request of Check about a service."""
    return bytes(pb.HealthCheckRequest(service=service).SerializeToString())


def decode_status(data: bytes) -> Status:
    """The answer of Check. Raises ProtocolError: malformed, or a status that there is not."""
    try:
        return Status(parse(pb.HealthCheckResponse, data, MAX_ANSWER_BYTES).status)
    except ValueError as error:
        raise ProtocolError("a health status is none that there is; upgrade this side", code="peer.version") from error


def decode_list(data: bytes) -> None:
    """The request of List, which asks nothing. Raises ProtocolError: malformed."""
    parse(pb.HealthListRequest, data, MAX_REQUEST_BYTES)


def encode_status(status: Status) -> bytes:
    """The answer of Check, and each of Watch."""
    return bytes(pb.HealthCheckResponse(status=status.value).SerializeToString())


def encode_statuses(statuses: Mapping[str, Status]) -> bytes:
    """The answer of List."""
    found = {name: pb.HealthCheckResponse(status=status.value) for name, status in statuses.items()}
    return bytes(pb.HealthListResponse(statuses=found).SerializeToString(deterministic=True))

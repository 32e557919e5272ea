"""The gRPC face of the aggregator: bytes in, coordinator, bytes out.

Who may call is decided before (privacy.channel.authorisation), errors become statuses around it
(privacy.channel.status). Handlers take raw bytes so that every parser is `privacy.wire.convert`'s.
"""

import hashlib
from collections.abc import Iterator

import grpc

from aggregator.coordinator import Coordinator
from aggregator.fold import seed_bytes
from privacy.channel.authorisation import MethodTable, caller
from privacy.channel.envelope import Signed
from privacy.channel.member import Role
from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.wire import bodies, convert

SILOS_ONLY = frozenset({Role.SILO})
METHODS: MethodTable = {
    f"/{convert.SERVICE.full_name}/Submit": SILOS_ONLY,
    f"/{convert.SERVICE.full_name}/Await": SILOS_ONLY,
    f"/{convert.SERVICE.full_name}/Upload": SILOS_ONLY,
    f"/{convert.SERVICE.full_name}/DownloadSum": SILOS_ONLY,
    f"/{convert.SERVICE.full_name}/DownloadUploadFrame": SILOS_ONLY,
    f"/{convert.SERVICE.full_name}/GiveSnapshotFrame": SILOS_ONLY,
    f"/{convert.SERVICE.full_name}/DownloadSnapshot": SILOS_ONLY,
}
"""Which role may call each method; `authorisation.check_complete` compares it with the service."""


class Service:
    """Handlers of the service `collegium.v1.Aggregator` over one coordinator."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    def handler(self) -> "grpc.GenericRpcHandler[bytes, bytes]":
        """What a `grpc.Server` is given."""
        unary, stream_in, stream_out = (
            grpc.unary_unary_rpc_method_handler,
            grpc.stream_unary_rpc_method_handler,
            grpc.unary_stream_rpc_method_handler,
        )
        return grpc.method_handlers_generic_handler(
            convert.SERVICE.full_name,
            {
                "Submit": unary(self._submit),
                "Await": stream_out(self._await),
                "Upload": stream_in(self._upload),
                "DownloadSum": stream_out(self._download),
                "DownloadUploadFrame": unary(self._download_upload_frame),
                "GiveSnapshotFrame": unary(self._give_snapshot_frame),
                "DownloadSnapshot": stream_out(self._download_snapshot),
            },
        )

    def _submit(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._coordinator.submit(caller(context).name, bodies.decode_signed(request))
        return convert.RECEIPT

    def _await(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for part in convert.board_parts(self._coordinator.wait(caller(context).name, convert.decode_await(request))):
            yield convert.encode_board(part)

    def _download(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for frame in self._coordinator.sum_frames(convert.decode_sum_request(request)):
            yield convert.encode_frame(frame)

    def _download_upload_frame(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        return convert.encode_frame(self._coordinator.upload_frame(convert.decode_frame_request(request)))

    def _give_snapshot_frame(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._coordinator.take_snapshot_frame(convert.decode_snapshot_frame(request))
        return convert.RECEIPT

    def _download_snapshot(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for frame in self._coordinator.snapshot_frames(convert.decode_snapshot_download(request)):
            yield convert.encode_frame(frame)

    def _upload(self, parts: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        message = convert.decode_part(next(parts, b""))
        if not isinstance(message, Signed):
            raise ProtocolError("an upload starts with its header", code="upload.order")
        header, incoming = self._coordinator.begin_upload(caller(context).name, message)
        committed = False
        try:
            incoming.put("header", bodies.encode_signed(message))
            seeds = self._next(parts, "seeds")
            if len(seeds) != seed_bytes(self._coordinator.params, header.frame_bytes):
                raise ProtocolError("the upload's seeds have the wrong length", code="upload.seeds")
            _check_digest(seeds, header.seeds_sha256)
            incoming.put("seeds", seeds)
            for index, (size, digest) in enumerate(zip(header.frame_bytes, header.frame_sha256, strict=True)):
                frame = self._next(parts, "frame")
                if len(frame) != size:
                    raise ProtocolError("a frame has another length than its header says", code="upload.length")
                _check_digest(frame, digest)
                frames.decode(frame, size // self._coordinator.params.ciphertext_bytes, self._coordinator.params)
                incoming.put(f"frame-{index}", frame)
            if next(parts, None) is not None:
                raise ProtocolError("the upload has more frames than its header says", code="upload.order")
            self._coordinator.finish_upload(message, header, incoming)
            committed = True
        finally:
            if not committed:
                incoming.discard()
        return convert.RECEIPT

    def _next(self, parts: Iterator[bytes], kind: str) -> bytes:
        part = next(parts, None)
        if part is None:
            raise ProtocolError("the upload ended before its last frame; send it again", code="upload.torn")
        decoded = convert.decode_part(part)
        if isinstance(decoded, Signed) or decoded[0] != kind:
            raise ProtocolError("the parts of the upload are out of order", code="upload.order")
        return decoded[1]


def _check_digest(data: bytes, digest: bytes) -> None:
    if hashlib.sha256(data).digest() != digest:
        raise ProtocolError("a part of the upload is not what its header says", code="upload.digest")

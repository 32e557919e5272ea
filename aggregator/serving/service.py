"""The gRPC face of the aggregator: bytes in, coordinator, bytes out.

Who may call is decided before (privacy.channel.authorisation), how often, how slowly and how much too (limits beside
it), and errors become statuses around it (privacy.channel.status). Handlers take raw bytes so that every parser is
`privacy.wire.convert`'s.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from aggregator.boards.head_board import HeadBoard
from aggregator.renewals import Renewals
from aggregator.rounds.coordinator import Coordinator
from privacy.channel.authorisation import MethodTable, caller
from privacy.channel.envelope import Signed
from privacy.channel.member import Role
from privacy.errors import ProtocolError
from privacy.wire import bodies, convert, exchange
from privacy.wire import renewals as wire
from privacy.wire.requests import Arrived

SILOS_ONLY = frozenset({Role.SILO})
METHODS: MethodTable = {
    f"/{convert.SERVICE.full_name}/Submit": SILOS_ONLY,
    f"/{convert.SERVICE.full_name}/Await": SILOS_ONLY,
    f"/{convert.SERVICE.full_name}/BeginUpload": SILOS_ONLY,
    f"/{convert.SERVICE.full_name}/Upload": SILOS_ONLY,
    f"/{convert.SERVICE.full_name}/DownloadSum": SILOS_ONLY,
    f"/{convert.SERVICE.full_name}/DownloadUploadFrame": SILOS_ONLY,
    f"/{convert.SERVICE.full_name}/GiveSnapshotFrame": SILOS_ONLY,
    f"/{convert.SERVICE.full_name}/DownloadSnapshot": SILOS_ONLY,
    f"/{convert.SERVICE.full_name}/AskHead": SILOS_ONLY,
    f"/{convert.SERVICE.full_name}/ExchangeHeads": SILOS_ONLY,
    f"/{convert.SERVICE.full_name}/Renew": SILOS_ONLY,
}
"""Which role may call each method; `authorisation.check_complete` compares it with the service."""


class Service:
    """Handlers of `collegium.v1.Aggregator` over one coordinator, one board of ledgers' heads and the renewals."""

    def __init__(self, coordinator: Coordinator, heads: HeadBoard, renewals: Renewals) -> None:
        self._coordinator, self._heads, self._renewals = coordinator, heads, renewals
        self._lock = threading.Lock()
        self._uploading: dict[str, grpc.ServicerContext] = {}

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
                "BeginUpload": unary(self._begin_upload),
                "Upload": stream_in(self._upload),
                "DownloadSum": stream_out(self._download),
                "DownloadUploadFrame": unary(self._download_upload_frame),
                "GiveSnapshotFrame": unary(self._give_snapshot_frame),
                "DownloadSnapshot": stream_out(self._download_snapshot),
                "AskHead": unary(self._ask_head),
                "ExchangeHeads": unary(self._exchange_heads),
                "Renew": unary(self._renew),
            },
        )

    def _submit(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._coordinator.submit(caller(context).name, bodies.decode_signed(request))
        return convert.RECEIPT

    def _await(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        board = self._coordinator.wait(caller(context).name, convert.decode_await(request), context.is_active)
        for part in convert.board_parts(board):
            yield convert.encode_board(part)

    def _download(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for frame in self._coordinator.sum_frames(caller(context).name, convert.decode_sum_request(request)):
            yield convert.encode_frame(frame)

    def _download_upload_frame(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        frame = self._coordinator.upload_frame(caller(context).name, convert.decode_frame_request(request))
        return convert.encode_frame(frame)

    def _give_snapshot_frame(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._coordinator.take_snapshot_frame(convert.decode_snapshot_frame(request))
        return convert.RECEIPT

    def _download_snapshot(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for frame in self._coordinator.snapshot_frames(convert.decode_snapshot_download(request)):
            yield convert.encode_frame(frame)

    def _ask_head(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        return bodies.encode_signed(self._heads.answer(caller(context).name, convert.decode_head_query(request)))

    def _exchange_heads(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        return exchange.encode_shown(self._heads.exchange(caller(context).name, exchange.decode_given(request)))

    def _renew(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        return wire.encode_answer(self._renewals.answer(caller(context).name, wire.decode_request(request)))

    def _begin_upload(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        arriving = self._coordinator.begin_upload(caller(context).name, bodies.decode_signed(request))
        return convert.encode_arrived(Arrived(arriving.stored))

    def _upload(self, parts: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        message = convert.decode_part(next(parts, b""))
        if not isinstance(message, Signed):
            raise ProtocolError("an upload starts with its header", code="upload.order")
        peer = caller(context).name
        arriving = self._coordinator.begin_upload(peer, message)
        before: int | None = None

        def take(part: bytes) -> int:
            piece = convert.decode_part(part)
            if isinstance(piece, Signed) or (before is not None and piece.number != before + 1):
                raise ProtocolError("the parts of the upload are out of order", code="upload.order")
            arriving.take(piece)
            return piece.number

        with self._newest(peer, context):
            # By map, which holds no part while it waits for the next: a frame of each of many silos is much.
            for before in map(take, parts):  # noqa: B007  # `take` reads it
                pass
            self._coordinator.finish_upload(arriving)
        return convert.RECEIPT

    @contextmanager
    def _newest(self, peer: str, context: grpc.ServicerContext) -> Iterator[None]:
        """A silo has one upload stream: a newer one ends the older, which its silo may have given up long ago."""
        with self._lock:
            older, self._uploading[peer] = self._uploading.get(peer), context
        if older is not None:
            older.cancel()  # type: ignore[no-untyped-call]  # the stubs leave it out
        try:
            yield
        finally:
            with self._lock:
                if self._uploading.get(peer) is context:
                    del self._uploading[peer]

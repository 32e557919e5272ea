"""An aggregator without a network, for tests: the real service, coordinator, store and ledger, called in this process.

Time stands still unless a test moves it, and rounds go on only when a test says `work`. Bytes pass through the real
encoders on both sides, so what a test sends is what a peer could send.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import grpc

from aggregator.boards.head_board import HeadBoard
from aggregator.records import Records
from aggregator.renewals import Renewals
from aggregator.rounds.coordinator import Coordinator
from aggregator.serving.service import METHODS, Service
from aggregator.storage.store import StudyStore
from privacy.channel import tls
from privacy.channel.authorisation import Authorisation, on_roster
from privacy.channel.cosigning_key import cosigning_keys
from privacy.channel.envelope import Signed
from privacy.channel.limits import Allowance, Limits, threads_for
from privacy.channel.status import Translation
from privacy.digest import protocol_hash
from privacy.he.params import CiphertextParams
from privacy.ledger.store import Ledger
from privacy.wire import bodies, convert, exchange
from privacy.wire.heads import HeadQuery, HeadsGiven, HeadsShown
from privacy.wire.limits import BOX_C_BYTES, BOX_S_BYTES, KEM_PUBLIC_BYTES
from privacy.wire.messages import Advertise, Close, ShareBox, Shares, Sign, Unmask, Unopenable, UploadHeader
from privacy.wire.requests import AwaitRequest, Board, FrameRequest, Phase, SumRequest
from privacy.wire.sets import advertise_set_digest, unmask_set_digest
from privacy.wire.snapshots import SnapshotDownload, SnapshotFrame
from tests import stored
from tests.aggregator.made_up_upload import MadeUpUpload
from tests.aggregator.members import Members, context


class Caller:
    """What a handler sees of a call: the peer of the certificate."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def cancel(self) -> None:
        """A made-up call cannot be ended from outside; tests of that have real ones."""

    def is_active(self) -> bool:
        return True

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"peer_spiffe_id": [self._uri.encode()]}


PATIENCE, DEADLINE = 20.0, 60.0
"""What the made-up studies allow, in seconds, for an exchange of small messages and for training and uploading."""
PATIENCE, DEADLINE = 20.0, 60.0


@dataclass
class Hub:
    """The aggregator over one folder; `restart` is a kill and a new process over what was durable.

    `stall` is seconds of real time after which a stream that stands still is ended.
    """

    root: Path
    members: Members
    max_upload_bytes: int = 2**26
    now: float = 0.0
    stall: float = 30.0
    ledger: Ledger = field(init=False)
    store: StudyStore = field(init=False)
    coordinator: Coordinator = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        key = self.members.hub.keys.identity
        folder = self.root / "ledger"
        if (folder / "origin.json").exists():
            self.ledger = Ledger.open(folder, key)
        else:
            self.ledger = Ledger.create(folder, self.members.hub.member.uri, key)
        self.store = store = StudyStore(self.root / "study")
        self.coordinator = Coordinator(
            self.members.study, store, self.ledger, key, lambda: self.now, self.max_upload_bytes
        )
        self.coordinator.relay(self.members.statement, frozenset())
        study = self.members.study
        self.heads = HeadBoard(
            study,
            store,
            self.ledger,
            cosigning_keys(self.root, self.members.hub),
            Records(self.ledger, study.digest(), study.roster.epoch),
            lambda: datetime.now(UTC),
        )
        self._service = Service(self.coordinator, self.heads, Renewals(self.root / "renewals", study))

    def stored(self, pattern: str = "*") -> list[str]:
        """Names of what is stored, as `tests.stored` gives them."""
        return stored.names(self.root / "study", pattern)

    def restart(self) -> None:
        self.store.close()
        self.ledger.close()
        self.now = 0.0
        self.start()

    @contextmanager
    def serving(self, port: int = 0) -> Iterator[int]:
        """Over real gRPC and TLS, on a port of loopback (0: a free one); ended without a word to those who call."""
        study = self.members.study
        allowance = Allowance(stall_seconds=self.stall)
        pool = ThreadPoolExecutor(threads_for(len(study.roster.silos), allowance))
        server = grpc.server(
            pool,
            interceptors=[
                Translation(),
                Authorisation(study.consortium, METHODS, on_roster(study)),
                Limits(allowance),
            ],
            options=tls.SERVER_OPTIONS,
        )
        server.add_generic_rpc_handlers((self._service.handler(),))
        bound = tls.listen(server, self.members.hub, f"localhost:{port}")
        server.start()
        try:
            yield bound
        finally:
            server.stop(0).wait()
            pool.shutdown()

    def work(self, turns: int = 1) -> None:
        for _ in range(turns):
            self.coordinator.step()

    # ---- calls, as a silo makes them

    def submit(self, index: int, body: bodies.Body | Signed) -> None:
        message = body if isinstance(body, Signed) else self.members.seal(index, body)
        self._service._submit(bodies.encode_signed(message), self._caller(index))

    def stream(self, index: int, parts: Iterable[bytes]) -> None:
        self._service._upload(iter(parts), self._caller(index))

    def begin(self, index: int, header: UploadHeader | Signed) -> int:
        """The pieces of an upload that are there."""
        message = header if isinstance(header, Signed) else self.members.seal(index, header)
        data = self._service._begin_upload(bodies.encode_signed(message), self._caller(index))
        return convert.decode_arrived(data).pieces

    def upload(self, upload: MadeUpUpload, sender: int | None = None) -> None:
        index = sender or upload.header.silo_index
        self.stream(index, upload.parts(self.members.seal(index, upload.header)))

    def board(self, number: int, phase: Phase, milliseconds: int = 0, index: int = 1, attentive: bool = False) -> Board:
        request = AwaitRequest(self.members.study.digest(), number, phase, milliseconds, attentive)
        parts = self._service._await(convert.encode_await(request), self._caller(index))
        return convert.join_board(convert.decode_board(part) for part in parts)

    def sum(self, number: int, index: int = 1) -> tuple[bytes, ...]:
        request = convert.encode_sum_request(SumRequest(self.members.study.digest(), number))
        return tuple(convert.decode_frame(data) for data in self._service._download(request, self._caller(index)))

    def upload_frame(self, number: int, silo: int, frame: int, index: int = 1) -> bytes:
        request = FrameRequest(self.members.study.digest(), number, silo, frame)
        data = self._service._download_upload_frame(convert.encode_frame_request(request), self._caller(index))
        return convert.decode_frame(data)

    def give_snapshot_frame(self, frame: SnapshotFrame, index: int = 1) -> None:
        self._service._give_snapshot_frame(convert.encode_snapshot_frame(frame), self._caller(index))

    def snapshot(self, number: int, first: int = 0, index: int = 1) -> tuple[bytes, ...]:
        request = convert.encode_snapshot_download(SnapshotDownload(self.members.study.digest(), number, first))
        frames = self._service._download_snapshot(request, self._caller(index))
        return tuple(convert.decode_frame(data) for data in frames)

    def ask_head(self, index: int, nonce: bytes) -> Signed:
        request = convert.encode_head_query(HeadQuery(self.members.study.digest(), nonce))
        return bodies.decode_signed(self._service._ask_head(request, self._caller(index)))

    def exchange_heads(self, index: int, given: HeadsGiven) -> HeadsShown:
        data = self._service._exchange_heads(exchange.encode_given(given), self._caller(index))
        return exchange.decode_shown(data)

    # ---- whole steps

    @property
    def params(self) -> CiphertextParams:
        return self.coordinator.params

    def survivors_hash(self, number: int) -> bytes:
        board = self.board(number, Phase.SURVIVORS)
        return protocol_hash("survivors", board.messages[0].body)

    @property
    def everyone(self) -> tuple[int, ...]:
        return tuple(range(1, len(self.members.silos) + 1))

    def advertise(self, index: int, number: int = 1, version: int = 0) -> None:
        keys = (bytes([index, kind, version]).ljust(KEM_PUBLIC_BYTES, b"k") for kind in (1, 2))
        self.submit(index, Advertise(context(number), number, index, *keys, bytes([index, version]).ljust(32, b"b")))

    def share(self, index: int, number: int = 1, version: int = 0) -> None:
        advertised = self.board(number, Phase.ADVERTISED).messages
        boxes = tuple(
            ShareBox(receiver, bytes(BOX_C_BYTES), bytes(BOX_S_BYTES), bytes([version]) * 32, b"\2" * 32)
            for receiver in (self.members.study.roster.index(message.signer) for message in advertised)
        )
        self.submit(index, Shares(context(number), number, index, advertise_set_digest(advertised), boxes))

    def set_up(self, number: int = 1, silos: Sequence[int] = ()) -> None:
        """From a new round to one that takes uploads; time moves on if not all silos are there."""
        for step in (self.advertise, self.share):
            for index in silos or self.everyone:
                step(index, number)
            if silos and tuple(silos) != self.everyone:
                self.now += PATIENCE
                self.work()

    def upload_all(self, number: int = 1, silos: Sequence[int] = (1, 2, 3)) -> list[MadeUpUpload]:
        """From a round in which everybody shares to the uploads of some."""
        if not self.board(number, Phase.SHARED).reached:
            self.set_up(number)
        uploads = [MadeUpUpload.random(self, silo, number) for silo in silos]
        for upload in uploads:
            self.upload(upload)
        return uploads

    def sign(self, index: int, number: int = 1, survivors_hash: bytes | None = None) -> None:
        self.submit(index, Sign(context(number), number, survivors_hash or self.survivors_hash(number)))

    def unmask(self, index: int, number: int = 1, sealed: bytes = b"sealed shares of everybody") -> None:
        self.submit(index, Unmask(context(number), number, index, self.survivors_hash(number), sealed))

    def close(self, index: int, number: int = 1, chain: bytes = b"\7" * 32, state: bytes = b"\6" * 32) -> None:
        digest = self.survivors_hash(number)
        self.submit(index, Close(context(number), number, digest, chain, b"\1" * 32, state, 9, b"\2" * 32))

    def cannot_open(self, index: int, number: int = 1, culprit: int = 2) -> None:
        shares = unmask_set_digest(self.board(number, Phase.UNMASKED).messages)
        digest = self.survivors_hash(number)
        self.submit(index, Unopenable(context(number), number, digest, shares, culprit, "share.inconsistent"))

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.ledger.entries]

    def _caller(self, index: int) -> grpc.ServicerContext:
        return cast(grpc.ServicerContext, Caller(self.members.of(index).member.uri))

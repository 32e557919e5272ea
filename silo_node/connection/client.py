"""The silo's calls to the aggregator: messages in and out of bytes, typed errors.

Everything that is sent is idempotent at the aggregator or refused there as a repeat, so that each call is tried as
`patience` says. Streams go on at their first missing frame, and the patience starts anew with each that arrived.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path

from privacy import durable
from privacy.channel.envelope import Signed
from privacy.channel.identity import Identity
from privacy.channel.one_way.line import Way
from privacy.channel.status import calling
from privacy.errors import CollegiumError, ProtocolError
from privacy.wire import bodies, convert, exchange, renewals
from privacy.wire.heads import HeadQuery, HeadsGiven, HeadsShown
from privacy.wire.renewals import RenewRequest
from privacy.wire.requests import Arrived, Board, FrameRequest, Phase, SumRequest
from privacy.wire.snapshots import SnapshotDownload, SnapshotFrame, SnapshotOffer
from silo_node.connection.board_download import BoardDownload
from silo_node.connection.patience import Patience, asking
from silo_node.connection.silence import Silence
from silo_node.connection.snapshot_download import SnapshotFrames
from silo_node.egress.channel import diagnosed, open_channel
from silo_node.egress.log import EgressLog
from silo_node.rounds.stored_upload import StoredUpload

POLL_MILLISECONDS = 20_000
"""How long the aggregator may hold a long poll; below the idle limits of common proxies."""
EXCHANGE_SECONDS = 20
"""How long an exchange of heads may keep a silo from its round."""


class RoundEnded(Exception):
    """The aggregator abandoned the round; the board at ABANDONED says why."""


class AggregatorClient:
    """One silo's connection to one aggregator.

    Args:
        identity: who we are.
        target: HOST:PORT.
        study_digest: the study that all calls are about.
        patience: seconds without any answer after which a call gives up.
        egress: where everything that is sent is counted.
        proxy: the HTTP proxy to go through, as for `tls.channel`; that of the environment when left out.
        way: for one-way lines, where a proxy opens TLS; lines are mutual when left out.
        silence: tells while there is no answer; nobody is told when left out.
    """

    def __init__(
        self,
        identity: Identity,
        target: str,
        study_digest: bytes,
        patience: float,
        egress: EgressLog,
        proxy: str | None = None,
        way: Way | None = None,
        silence: Silence | None = None,
    ) -> None:
        self._target, self._proxy, self._way = target, proxy, way
        self._peer = f"the aggregator at {target}"
        self._digest, self._egress = study_digest, egress
        self._patience = Patience(self._peer, patience, self._diagnosed, silence)
        self._attend: Callable[[], bool] | None = None
        self._last_word: tuple[Signed, ...] = ()
        self._connect(identity)

    def _connect(self, identity: Identity) -> None:
        self._identity = identity
        self._channel = open_channel(identity, self._target, self._egress, self._proxy, self._way)
        prefix = f"/{convert.SERVICE.full_name}/"
        self._submit = self._channel.unary_unary(prefix + "Submit", bytes, bytes)
        self._await = self._channel.unary_stream(prefix + "Await", bytes, bytes)
        self._begin = self._channel.unary_unary(prefix + "BeginUpload", bytes, bytes)
        self._upload = self._channel.stream_unary(prefix + "Upload", bytes, bytes)
        self._audit = self._channel.unary_unary(prefix + "DownloadUploadFrame", bytes, bytes)
        self._download = self._channel.unary_stream(prefix + "DownloadSum", bytes, bytes)
        self._give = self._channel.unary_unary(prefix + "GiveSnapshotFrame", bytes, bytes)
        self._take = self._channel.unary_stream(prefix + "DownloadSnapshot", bytes, bytes)
        self._ask = self._channel.unary_unary(prefix + "AskHead", bytes, bytes)
        self._exchange = self._channel.unary_unary(prefix + "ExchangeHeads", bytes, bytes)
        self._renew = self._channel.unary_unary(prefix + "Renew", bytes, bytes)

    def reconnect(self, identity: Identity) -> None:
        """From now on call with a renewed certificate; calls on the old connection are ended and made again."""
        before = self._channel
        self._connect(identity)
        before.close()

    def attend(self, answer: Callable[[], bool]) -> None:
        """From now on call `answer` when another silo waits for something while we wait; it says if it did anything."""
        self._attend = answer

    def last_word(self, message: Signed) -> None:
        """Send how we ended a round, which belongs from now on to what `wait` says again: the next begins with it."""
        self._last_word = (message,)
        self.submit(message)

    def close(self) -> None:
        """Close the connection, and the log of what left."""
        self._channel.close()
        self._egress.close()

    def ask_head(self, nonce: bytes) -> Signed:
        """What the aggregator knows of this silo's ledger: a HeadAnswer, not checked here."""
        data = convert.encode_head_query(HeadQuery(self._digest, nonce))
        return self._patience.until_answered(lambda: bodies.decode_signed(self._ask(data, timeout=60)))

    def exchange_heads(self, given: HeadsGiven) -> HeadsShown:
        """Give and get heads of ledgers, tried once: no round waits for it. Raises Unreachable: no answer."""
        with asking(self._peer):
            data = self._exchange(exchange.encode_given(given), timeout=EXCHANGE_SECONDS)
        return exchange.decode_shown(data)

    def renew(self, request: bytes) -> bytes:
        """Ask once for the consortium's answer to a request for a new certificate; empty as long as there is none."""
        with asking(self._peer):
            data = self._renew(renewals.encode_request(RenewRequest(self._digest, request)), timeout=60)
        return renewals.decode_answer(data)

    def submit(self, message: Signed) -> None:
        """Send a signed message; stored durably there when this returns."""
        data = bodies.encode_signed(message)
        self._patience.until_answered(lambda: self._submit(data, timeout=60))

    def upload(self, upload: StoredUpload) -> int:
        """Stream what the aggregator does not have yet of an upload from disk; returns the bytes that were sent.

        Asked again after each break, it goes on at the first piece that is missing there.
        """
        header = bodies.encode_signed(upload.header)
        arrived, sent = Arrived(0), 0

        def parts(first: int) -> Iterator[bytes]:
            nonlocal sent
            head = (convert.encode_header_part(upload.header),)
            for part in chain(head, map(convert.encode_piece, upload.pieces(first))):
                sent += len(part)
                yield part

        def call() -> None:
            nonlocal arrived
            arrived = convert.decode_arrived(self._begin(header, timeout=60))
            self._upload(parts(arrived.pieces), timeout=3600)

        self._patience.until_answered(call, lambda: arrived.pieces)
        return sent

    def board(self, round_number: int, phase: Phase) -> Board:
        """What is published of a round now, without waiting."""
        download = BoardDownload(self._digest, round_number, phase)
        return self._patience.until_answered(lambda: self._polled(download, 0, attentive=False), lambda: download.held)

    def wait(self, round_number: int, phase: Phase, said: tuple[Signed, ...] = ()) -> Board:
        """Wait until a round has reached a phase or has ended; meanwhile answer silos that need us.

        What we `said`, without which it may never be reached, is sent again after a poll that broke off or was in vain:
        if an old copy of the aggregator was put back, it is there no more. The same bytes tell nobody anything new.
        """
        return self._wait(round_number, phase, said, once=False)

    def wait_or_answer(self, round_number: int, phase: Phase) -> Board:
        """As `wait`, but no longer than until a silo that needs us was answered."""
        return self._wait(round_number, phase, (), once=True)

    def _wait(self, round_number: int, phase: Phase, said: tuple[Signed, ...], *, once: bool) -> Board:
        attentive, again = self._attend is not None, False
        download = BoardDownload(self._digest, round_number, phase)

        def poll() -> Board:
            nonlocal again
            for message in (*self._last_word, *said) if again else ():
                self._repeat(message)
            again = True
            return self._polled(download, POLL_MILLISECONDS, attentive)

        while True:
            board = self._patience.until_answered(poll, lambda: download.held)
            if board.reached:
                return board
            again = not board.wanted
            answered = board.wanted and self._attend is not None and self._attend()
            if answered and once:
                return board
            # What we cannot answer others may: we listen again after the next poll, not at once.
            attentive = self._attend is not None and (answered or not board.wanted)

    def published(self, round_number: int, phase: Phase, said: tuple[Signed, ...] = ()) -> Board:
        """As `wait`, for a phase that is wanted.

        Raises:
            RoundEnded: the round was abandoned instead.
        """
        board = self.wait(round_number, phase, said)
        if board.phase == Phase.ABANDONED:
            raise RoundEnded
        return board

    def sum_frames(self, round_number: int, folder: Path, count: int) -> None:
        """Download the published sum of a round into `folder`, as `frame-<i>`, `count` frames at most.

        It goes on at the first missing frame. An aggregator that sends fewer leaves fewer.
        """
        shutil.rmtree(folder, ignore_errors=True)
        durable.make_folder(folder)
        stored = 0

        def call() -> None:
            nonlocal stored
            request = convert.encode_sum_request(SumRequest(self._digest, round_number, stored))
            answer = self._download(request, timeout=3600)
            for frame in islice(answer, count - stored):
                durable.write(folder / f"frame-{stored}", convert.decode_frame(frame))
                stored += 1
            answer.cancel()

        self._patience.until_answered(call, lambda: stored)

    def upload_frame(self, round_number: int, silo_index: int, frame: int) -> bytes:
        """Download one frame of a survivor's upload, for the spot audit."""
        data = convert.encode_frame_request(FrameRequest(self._digest, round_number, silo_index, frame))
        return self._patience.until_answered(lambda: convert.decode_frame(self._audit(data, timeout=600)))

    def give_snapshot_frame(self, frame: SnapshotFrame) -> None:
        """Send one frame of a snapshot; stored durably there when this returns."""
        data = convert.encode_snapshot_frame(frame)
        self._patience.until_answered(lambda: self._give(data, timeout=600))

    def snapshot_frames(self, offer: SnapshotOffer, folder: Path) -> None:
        """Download a checked offer's frames into `folder`, as `frame-<i>`; goes on where an earlier download stopped.

        Raises:
            ProtocolError: `snapshot.altered`: a frame is not what was offered; `snapshot.gone`: no longer kept.
        """
        kept = SnapshotFrames(offer, folder)

        def call() -> None:
            request = convert.encode_snapshot_download(SnapshotDownload(self._digest, offer.round_number, kept.stored))
            kept.take(map(convert.decode_frame, self._take(request, timeout=3600)))

        self._patience.until_answered(call)

    def _polled(self, download: BoardDownload, milliseconds: int, attentive: bool) -> Board:
        data = convert.encode_await(download.request(milliseconds, attentive=attentive))
        parts = self._await(data, timeout=milliseconds / 1000 + 30)
        return download.take(map(convert.decode_board, parts))

    def _repeat(self, message: Signed) -> None:
        """Send again what was sent; a refusal means that it is there, or too late: the board says which."""
        with suppress(ProtocolError), calling(self._peer):
            self._submit(bodies.encode_signed(message), timeout=60)

    def _diagnosed(self) -> CollegiumError:
        trusted = None if self._way is None else self._way.trusted
        return diagnosed(self._identity, self._target, self._egress, self._proxy, trusted)

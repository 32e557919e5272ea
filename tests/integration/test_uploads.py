"""Uploads and downloads over a real line that breaks, stands still or comes twice: what is there is not sent again."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from aggregator.storage.store import Incoming
from privacy.channel import tls
from privacy.channel.authorisation import Authorisation
from privacy.channel.member import Member, Role
from privacy.channel.status import calling
from privacy.errors import ProtocolError, Unreachable
from privacy.wire import convert
from privacy.wire.requests import Phase, Piece, SumRequest
from silo_node.connection import patience
from silo_node.connection.client import AggregatorClient
from silo_node.egress.log import EgressLog
from silo_node.rounds.stored_upload import StoredUpload
from tests import stored
from tests.aggregator.hub import Hub
from tests.aggregator.made_up_upload import MadeUpUpload
from tests.aggregator.members import Members
from tests.e2e.relay import Relay
from tests.privacy.channel.test_connection_age import shortened

LENGTH = 4_000_000
"""Values of an upload of twelve frames of a mebibyte."""
FRAME = 2**20


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Members:
    return Members.enrol(tmp_path_factory.mktemp("members")).with_length(LENGTH)


@pytest.fixture
def hub(tmp_path: Path, members: Members) -> Hub:
    """In the middle of a round, with little patience for streams that stand still."""
    made = Hub(tmp_path / "hub", members, stall=0.5)
    made.set_up()
    return made


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that are quick to try again."""
    monkeypatch.setattr(patience, "FIRST_BACKOFF_SECONDS", 0.05)
    monkeypatch.setattr(patience, "LONGEST_BACKOFF_SECONDS", 0.2)


@dataclass(frozen=True)
class Sender:
    """A silo with an upload on its disk."""

    hub: Hub
    made: MadeUpUpload
    stored: StoredUpload
    size: int

    @classmethod
    def of(cls, hub: Hub, folder: Path, silo: int = 1) -> "Sender":
        made = MadeUpUpload.random(hub, silo)
        folder.mkdir()
        (folder / "seeds").write_bytes(made.seeds)
        for index, frame in enumerate(made.frames):
            (folder / f"frame-{index}").write_bytes(frame)
        header = hub.members.seal(silo, made.header)
        size = sum(map(len, made.parts(header)))
        return cls(hub, made, StoredUpload(header, folder, len(made.frames)), size)

    @contextmanager
    def client(self, port: int, patience: float = 20.0) -> Iterator[AggregatorClient]:
        silo = self.made.header.silo_index
        client = AggregatorClient(
            self.hub.members.of(silo),
            f"localhost:{port}",
            self.hub.members.study.digest(),
            patience,
            EgressLog(self.hub.root, self.hub.members.study.digest().hex(), ""),
        )
        try:
            yield client
        finally:
            client.close()

    def arrived(self) -> bool:
        found, silo = stored.content(self.hub.root / "study"), self.made.header.silo_index
        frames = enumerate(self.made.frames)
        return all(found.get(f"rounds/000001/upload-{silo}/frame-{index}") == made for index, made in frames)


@pytest.fixture
def sender(hub: Hub, tmp_path: Path) -> Sender:
    return Sender.of(hub, tmp_path / "upload")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pieces that the aggregator stores, as it does; 0 is the seeds."""
    pieces: list[int] = []
    put = Incoming.put

    def noting(place: Incoming, piece: int, data: bytes) -> None:
        put(place, piece, data)
        pieces.append(piece)

    monkeypatch.setattr(Incoming, "put", noting)
    return pieces


def test_a_line_that_is_cut_costs_what_was_on_it(hub: Hub, sender: Sender, written: list[int]) -> None:
    cuts = (7 * FRAME, 3 * FRAME)
    with hub.serving() as port, Relay(port, cuts) as relay, sender.client(relay.port) as client:
        sent = client.upload(sender.stored)
    assert relay.connections == len(cuts) + 1
    assert sender.arrived()
    assert sorted(written) == list(range(13))
    resent = sent - sender.size
    print(f"{sender.size:,} bytes, cut {len(cuts)} times: {resent:,} sent again")
    # Each time at most the frame that was cut in two and what the window lets through ahead of it.
    assert 0 < resent <= len(cuts) * 3 * FRAME < sum(cuts)


def test_an_aggregator_that_was_gone_is_sent_only_the_rest(hub: Hub, sender: Sender, written: list[int]) -> None:
    result: list[int] = []
    with ExitStack() as silo:
        with hub.serving() as port:
            client = silo.enter_context(sender.client(port))
            thread = threading.Thread(target=lambda: result.append(client.upload(sender.stored)))
            thread.start()
            until(lambda: len(written) >= 7)
        assert not sender.arrived()
        hub.restart()
        assert 7 <= hub.begin(1, sender.stored.header) < 13
        with hub.serving(port):
            thread.join(20)
    assert sender.arrived()
    assert len(written) == len(set(written)) == 13
    assert result[0] - sender.size <= 4 * FRAME


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


class Hanging:
    """An upload that sends its first parts and then nothing, until it is let go."""

    def __init__(self, sender: Sender, port: int, parts: int) -> None:
        self.sender, self.go = sender, threading.Event()
        self.channel = tls.channel(sender.hub.members.of(sender.made.header.silo_index), f"localhost:{port}")
        self._parts = sender.made.parts(sender.stored.header)[:parts]
        upload = self.channel.stream_unary(f"/{convert.SERVICE.full_name}/Upload", bytes, bytes)
        self.call = upload.future(self.parts(), timeout=20)

    def parts(self) -> Iterator[bytes]:
        yield from self._parts
        self.go.wait()

    def ended(self) -> tuple[str, float]:
        """How the aggregator ended it, and after how many seconds."""
        start = time.monotonic()
        try:
            with calling("hub"), pytest.raises(grpc.RpcError) as caught:
                self.call.result()
            with calling("hub"):
                raise caught.value
        except (Unreachable, ProtocolError) as error:
            return type(error).__name__, time.monotonic() - start
        finally:
            self.go.set()
            self.channel.close()


@pytest.mark.parametrize("parts", [0, 1, 2, 5])
def test_a_stream_that_stands_still_is_ended_and_its_frames_are_kept(hub: Hub, sender: Sender, parts: int) -> None:
    with hub.serving() as port:
        kind, seconds = Hanging(sender, port, parts).ended()
        assert kind == "Unreachable", "a silo whose line stands still tries again"
        assert seconds < 5
        assert hub.begin(1, sender.stored.header) == max(0, parts - 1)
        with sender.client(port) as client:
            assert client.upload(sender.stored) <= sender.size - max(0, parts - 2) * FRAME * 0.9
    assert sender.arrived()


def test_no_number_of_streams_that_stand_still_keeps_the_others_out(hub: Hub, sender: Sender, tmp_path: Path) -> None:
    """A silo has one stream: a newer one ends the older at once."""
    hub.stall = 60.0
    hub.restart()
    other = Sender.of(hub, tmp_path / "other", 2)
    with hub.serving() as port:  # eight calls at a time
        hanging = [Hanging(sender, port, 2) for _ in range(12)]
        with other.client(port) as client:
            client.upload(other.stored)
        with sender.client(port) as client:
            client.upload(sender.stored)
        for one in hanging:
            assert one.ended()[1] < 5
    assert sender.arrived()
    assert other.arrived()


def test_a_download_that_nobody_reads_is_ended_and_goes_on(
    hub: Hub, sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A window that grows takes all of so small a sum, read or not.
    narrow = (("grpc.http2.lookahead_bytes", 2**20), ("grpc.http2.bdp_probe", 0))
    monkeypatch.setattr(tls, "CLIENT_OPTIONS", (*tls.CLIENT_OPTIONS, *narrow))
    for silo in (1, 2, 3):
        hub.upload(MadeUpUpload.random(hub, silo))
    hub.work()
    wanted = hub.sum(1)
    request = convert.encode_sum_request(SumRequest(hub.members.study.digest(), 1))
    with hub.serving() as port:
        channel = tls.channel(hub.members.of(1), f"localhost:{port}")
        frames = channel.unary_stream(f"/{convert.SERVICE.full_name}/DownloadSum", bytes, bytes)(request, timeout=20)
        next(frames)
        time.sleep(1.5)
        with pytest.raises(grpc.RpcError):
            list(frames)
        channel.close()
        with Relay(port, (math.inf, math.inf)) as relay, sender.client(relay.port) as client:
            client.sum_frames(1, tmp_path / "sum", len(wanted))
    assert tuple((tmp_path / f"sum/frame-{index}").read_bytes() for index in range(12)) == wanted


def test_uploads_and_long_polls_outlive_the_connections_that_they_begin_on(
    hub: Hub, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "SERVER_OPTIONS", shortened(250, 250))
    lines: set[str] = set()
    authorise = Authorisation.authorise

    def noting(checks: Authorisation, context: grpc.ServicerContext, allowed: frozenset[Role]) -> Member:
        lines.add(context.peer())
        return authorise(checks, context, allowed)

    monkeypatch.setattr(Authorisation, "authorise", noting)
    pieces = StoredUpload.pieces

    def slowly(stored: StoredUpload, first: int) -> Iterator[Piece]:
        for piece in pieces(stored, first):
            time.sleep(0.1)
            yield piece

    monkeypatch.setattr(StoredUpload, "pieces", slowly)
    with hub.serving() as port, sender.client(port) as client, sender.client(port) as waiting:
        polled: list[bool] = []
        thread = threading.Thread(target=lambda: polled.append(waiting.wait(1, Phase.SURVIVORS).reached))
        thread.start()
        sent = client.upload(sender.stored)
        assert sender.arrived()
        assert len(lines) > 3
        assert sent - sender.size <= len(lines) * 3 * FRAME
        assert thread.is_alive(), "there is no sum before all uploads are in"
        for silo in (2, 3):
            hub.upload(MadeUpUpload.random(hub, silo))
        hub.work()
        thread.join(20)
    assert polled == [True]

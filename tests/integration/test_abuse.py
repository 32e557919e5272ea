"""A real aggregator process under members that mean ill: it serves the others, and its memory stays bounded."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import pytest

from privacy import study
from privacy.channel import roster_statement, tls
from privacy.channel.identity import Identity
from privacy.study import Study
from privacy.wire import convert
from privacy.wire.requests import AwaitRequest, Phase
from tests.consortium import Consortium
from tests.e2e import commands
from tests.e2e.processes import end, wait
from tests.integration.federation import make_study

MEBIBYTE = 2**20
PREFIX = f"/{convert.SERVICE.full_name}/"


@dataclass(frozen=True)
class Serving:
    """An aggregator that serves a study, as a process of its own."""

    study: Study
    silos: tuple[Identity, ...]
    port: int
    process: psutil.Process

    @property
    def memory(self) -> int:
        return int(self.process.memory_info().rss)

    def ask(self, milliseconds: int = 0) -> bytes:
        """A long poll for the end of the study, which does not come."""
        return convert.encode_await(AwaitRequest(self.study.digest(), 2, Phase.CLOSED, milliseconds, attentive=False))

    def channel(self, silo: int, **options: int) -> grpc.Channel:
        """A connection of its own of a silo, from 0."""
        identity = self.silos[silo]
        credentials = grpc.ssl_channel_credentials(
            identity.authority_pem, identity.tls_key_pem, identity.certificate_pem
        )
        alone = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0), *options.items()]
        return grpc.secure_channel(f"localhost:{self.port}", credentials, alone)

    @contextmanager
    def others_are_served(self, seconds: float) -> Iterator[None]:
        """Meanwhile each look of another silo at the board is answered within so many seconds."""
        over, waits = threading.Event(), [0.0]

        def look() -> None:
            with self.channel(1) as channel:
                call = channel.unary_stream(PREFIX + "Await")
                while not over.is_set():
                    start = time.monotonic()
                    assert list(call(self.ask(), timeout=30))
                    waits.append(time.monotonic() - start)
                    over.wait(0.02)

        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(look)
            try:
                yield
            finally:
                over.set()
            looking.result()
        print(f"{len(waits)} looks of another silo, the slowest took {max(waits):.2f} s")
        assert len(waits) > 3
        assert max(waits) < seconds


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    consortium = Consortium(tmp_path_factory.mktemp("net"))
    hub, silos = consortium.aggregator(), [consortium.silo(name) for name in ("north", "south", "east")]
    signed = study.sign(make_study(hub, silos), consortium.authority.study_key)
    state, file, port_file = consortium.state("hub"), consortium.root / "study.yaml", consortium.root / "port"
    file.write_text(study.dump(signed))
    (state / "aggregator.yaml").write_text("stall_seconds: 1\n")
    (state / "roster-statement.json").write_bytes(roster_statement.dump(consortium.roster_statement()))
    process = commands.start(
        consortium.root / "log",
        *("aggregator", "serve", "--state", state, "--study", file),
        *("--listen", "localhost:0", "--port-file", port_file),
    )
    try:
        wait(lambda: port_file.exists() and port_file.read_text().endswith("\n"), process)
        yield Serving(signed.study, tuple(silos), int(port_file.read_text()), psutil.Process(process.pid))
        assert process.poll() is None, Path(consortium.root / "log.err").read_text()
    finally:
        end(process)


def polls(hub: Serving, stack: ExitStack) -> None:
    """Many more long polls than a silo may have, over several connections."""
    for _ in range(4):
        call = stack.enter_context(hub.channel(0)).unary_stream(PREFIX + "Await")
        for _ in range(100):
            stack.callback(call(hub.ask(20_000), timeout=60).cancel)


def silence(hub: Serving, stack: ExitStack) -> None:
    """Calls that begin and never say what they want."""
    over = threading.Event()
    stack.callback(over.set)

    def never() -> Iterator[bytes]:
        over.wait(30)
        yield b""

    for method in ("Submit", "Await", "Upload", "AskHead"):
        call = stack.enter_context(hub.channel(0)).stream_stream(PREFIX + method)
        for _ in range(25):
            stack.callback(call(never(), timeout=60).cancel)


def oversized(hub: Serving, stack: ExitStack) -> None:
    """Messages larger than any may be, and largest ones of zeros, which are none of the protocol."""
    channel = stack.enter_context(hub.channel(0, **{"grpc.max_send_message_length": 2**30}))
    for size in (100 * MEBIBYTE, *[tls.MAX_MESSAGE_BYTES - 100] * 60):
        stack.callback(channel.unary_unary(PREFIX + "Submit").future(bytes(size), timeout=60).cancel)


def pieces(hub: Serving, stack: ExitStack) -> None:
    """A million tiny messages on one stream."""
    channel = stack.enter_context(hub.channel(0))
    over = threading.Event()
    stack.callback(over.set)

    def tiny() -> Iterator[bytes]:
        for _ in range(1_000_000):
            if over.is_set():
                return
            yield b"\x12\x00"

    for method in ("Upload", "Submit"):
        stack.callback(channel.stream_stream(PREFIX + method)(tiny(), timeout=60).cancel)


def crowd(hub: Serving, stack: ExitStack) -> None:
    """Large messages by many calls of many connections: what comes before anybody reads it."""
    message = bytes(MEBIBYTE)
    for _ in range(24):
        call = stack.enter_context(hub.channel(0)).unary_unary(PREFIX + "Submit")
        for _ in range(32):
            stack.callback(call.future(message, timeout=60).cancel)


@pytest.mark.parametrize(
    "attack", [polls, *(pytest.param(each, marks=pytest.mark.slow) for each in (silence, oversized, pieces, crowd))]
)
def test_an_attack_takes_nothing_from_the_others(
    serving: Serving, attack: Callable[[Serving, ExitStack], None]
) -> None:
    before = serving.memory
    with ExitStack() as stack, serving.others_are_served(5.0):
        attack(serving, stack)
        end = time.monotonic() + 2.0
        most = 0
        while time.monotonic() < end:
            most = max(most, serving.memory - before)
            time.sleep(0.02)
    print(f"{attack.__name__}: {most / MEBIBYTE:.0f} MiB")
    assert most < 100 * MEBIBYTE


@pytest.mark.slow
def test_polls_of_a_connection_that_is_gone_make_room_for_new_ones(serving: Serving) -> None:
    """A silo that is killed and started again, and again."""
    for _ in range(3):
        with serving.channel(2) as channel:
            going = [channel.unary_stream(PREFIX + "Await")(serving.ask(60_000), timeout=60) for _ in range(7)]
            time.sleep(0.1)
            assert all(call.is_active() for call in going)
        time.sleep(1.5)


@pytest.mark.slow
def test_all_attacks_at_once_for_a_while(serving: Serving) -> None:
    before, most = serving.memory, 0
    with serving.others_are_served(10.0):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with ExitStack() as stack:
                for attack in (polls, silence, oversized, pieces):
                    attack(serving, stack)
                for _ in range(30):
                    most = max(most, serving.memory - before)
                    time.sleep(0.1)
    print(f"all attacks, again and again: {most / MEBIBYTE:.0f} MiB, {serving.process.num_threads()} threads")
    assert most < 200 * MEBIBYTE
    assert serving.process.num_threads() < 100


@pytest.mark.slow
def test_a_flood_of_calls_is_answered_at_the_rate_of_one_peer(serving: Serving) -> None:
    """As fast as one connection can: what is beyond the rate waits, and the others do not."""
    done, seconds = 0, 12.0
    with serving.others_are_served(5.0), serving.channel(0) as channel:
        call, deadline = channel.unary_unary(PREFIX + "AskHead"), time.monotonic() + seconds
        going: list[grpc.Future] = []
        while time.monotonic() < deadline:
            going += [call.future(b"nonsense", timeout=60) for _ in range(8 - len(going))]
            done += sum(each.done() for each in going)
            going = [each for each in going if not each.done()]
            time.sleep(0.001)
        for each in going:
            each.cancel()
    print(f"{done} calls of one peer in {seconds:.0f} s")
    assert done < 400 + 110 * seconds


@pytest.mark.slow
def test_connections_that_say_nothing_are_closed(serving: Serving) -> None:
    with serving.others_are_served(5.0), ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", serving.port), 10)) for _ in range(300)]
        for each in silent:
            each.settimeout(40)
            assert each.recv(1) == b""

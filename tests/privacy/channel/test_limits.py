"""What a peer gets of a server and no more, over real TLS; bombs are hand-made HTTP/2."""

import gzip
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import grpc
import psutil
import pytest

from privacy.channel import limits, tls
from privacy.channel.identity import Identity
from privacy.channel.limits import Allowance, Share, threads_for
from privacy.channel.status import calling
from privacy.errors import ProtocolError, Unreachable
from tests.consortium import Consortium
from tests.privacy.channel.hostile import connected, message
from tests.privacy.channel.serving import serving

MEBIBYTE = 2**20


@pytest.fixture(scope="session")
def other(consortium: Consortium) -> Identity:
    return consortium.silo("st-johns")


def never() -> Iterator[bytes]:
    """A stream that begins and does not go on."""
    threading.Event().wait(20)
    yield b""


def test_a_peer_has_so_many_calls_at_a_time_and_others_have_theirs(
    hub: Identity, silo: Identity, other: Identity
) -> None:
    go = threading.Event()

    def answer(context: grpc.ServicerContext) -> bytes:
        go.wait(20)
        return b"done"

    allowance = Allowance(calls=4)
    with (
        serving(hub, answer, allowance=allowance) as (port, echo),
        tls.channel(silo, f"localhost:{port}") as greedy,
        tls.channel(other, f"localhost:{port}") as modest,
    ):
        calls = [greedy.unary_unary("/t.Echo/Unary").future(b"", timeout=20) for _ in range(8)]
        while sum(call.done() for call in calls) < 4:
            time.sleep(0.01)
        late = modest.unary_unary("/t.Echo/Unary").future(b"", timeout=20)
        while echo.calls < 5:
            time.sleep(0.01)
        go.set()
        assert late.result() == b"done"
        refused = []
        for call in calls:
            try:
                with calling("the aggregator"):
                    call.result()
            except Unreachable as error:
                refused.append(error.code)
        assert refused == [limits.BUSY] * 4
        with calling("the aggregator"):
            assert greedy.unary_unary("/t.Echo/Unary")(b"", timeout=10) == b"done"


def test_calls_beyond_the_rate_wait_for_their_turn(hub: Identity, silo: Identity) -> None:
    allowance = Allowance(calls_per_second=20, burst=5)
    with serving(hub, allowance=allowance) as (port, _), tls.channel(silo, f"localhost:{port}") as channel:
        call = channel.unary_unary("/t.Echo/Unary")
        call(b"", timeout=10)
        start = time.monotonic()
        for _ in range(16):
            call(b"", timeout=10)
        assert time.monotonic() - start > 0.45


def test_the_rate_is_that_of_a_bucket_which_fills_again() -> None:
    now = [0.0]
    share = Share(Allowance(calls_per_second=10, burst=3), lambda: now[0])
    waits: list[float] = []

    def call() -> float:
        with pytest.MonkeyPatch.context() as patch:
            waits.append(0.0)
            patch.setattr(limits.time, "sleep", lambda seconds: waits.__setitem__(-1, seconds))
            with share.call():
                return waits[-1]

    assert [round(call(), 3) for _ in range(5)] == [0, 0, 0, 0.1, 0.2]
    now[0] = 100.0
    assert [round(call(), 3) for _ in range(4)] == [0, 0, 0, 0.1]


@pytest.mark.parametrize("method", ["Unary", "Up", "Down", "Both"])
def test_a_call_whose_message_does_not_come_is_ended(hub: Identity, silo: Identity, method: str) -> None:
    """Also a plain call, for whose message grpcio by itself waits for ever."""
    with serving(hub, allowance=Allowance(stall_seconds=0.3)) as (port, echo):
        with tls.channel(silo, f"localhost:{port}") as channel:
            start = time.monotonic()
            with pytest.raises(Unreachable), calling("the aggregator"):
                channel.stream_unary(f"/t.Echo/{method}")(never(), timeout=15)
            assert time.monotonic() - start < 5
        assert echo.calls == 0


def test_a_plain_call_without_a_message_is_refused(hub: Identity, silo: Identity) -> None:
    with serving(hub) as (port, echo), tls.channel(silo, f"localhost:{port}") as channel:
        with pytest.raises(ProtocolError) as caught, calling("the aggregator"):
            channel.stream_unary("/t.Echo/Unary")(iter(()), timeout=10)
        assert caught.value.code == "protocol.malformed"
        assert echo.calls == 0


@pytest.mark.parametrize(("size", "at_once"), [(990, 4), (1, 8)])
def test_messages_that_are_not_dealt_with_are_few(
    hub: Identity, silo: Identity, monkeypatch: pytest.MonkeyPatch, size: int, at_once: int
) -> None:
    """A peer's messages in memory: at most four of the largest, here of 1000 bytes, however many calls bring them."""
    assert Allowance().message_bytes <= 4 * tls.MAX_MESSAGE_BYTES
    monkeypatch.setattr(limits, "MAX_MESSAGE_BYTES", 1000)
    come, go = threading.Semaphore(0), threading.Event()

    def answer(context: grpc.ServicerContext) -> bytes:
        come.release()
        go.wait(20)
        return b""

    with (
        serving(hub, answer, allowance=Allowance(message_bytes=4000)) as (port, _),
        tls.channel(silo, f"localhost:{port}") as channel,
    ):
        call = channel.unary_unary("/t.Echo/Unary")
        for _ in range(2):
            go.clear()
            calls = [call.future(bytes(size), timeout=20) for _ in range(8)]
            for _ in range(at_once):
                assert come.acquire(timeout=10)
            assert at_once == 8 or not come.acquire(timeout=0.3), "the others wait"
            go.set()
            for each in calls:
                each.result()
            for _ in range(8 - at_once):
                assert come.acquire(timeout=10)


def test_every_peer_has_threads_of_its_own() -> None:
    assert threads_for(64, Allowance()) == 64 * 8 + limits.SPARE_THREADS


def test_a_claim_of_four_gibibytes_is_refused_before_anything_is_allocated(
    any_line: None, hub: Identity, silo: Identity
) -> None:
    process = psutil.Process()
    with serving(hub) as (port, echo), connected(silo, port) as line:
        before = process.memory_info().rss
        for claimed in (2**32 - 1, tls.MAX_MESSAGE_BYTES + 1):
            stream = line.call("/t.Echo/Unary")
            line.send(stream, message(100, claimed))
            assert line.read(b"larger than max") or claimed < 2**32 - 1
        assert process.memory_info().rss - before < 20 * MEBIBYTE
        assert echo.calls == 0


def test_a_call_with_much_metadata_is_refused_and_kept_by_nobody(any_line: None, hub: Identity, silo: Identity) -> None:
    process = psutil.Process()
    with serving(hub) as (port, echo), connected(silo, port) as line:
        before = process.memory_info().rss
        for _ in range(2):
            line.call_with("/t.Echo/Unary", "x-a", "v", 100_000)
            assert line.read(b"grpc-status\x018")
        assert process.memory_info().rss - before < 20 * MEBIBYTE
        assert echo.calls == 0


def test_a_message_that_is_small_only_while_it_is_compressed_is_refused(
    any_line: None, hub: Identity, silo: Identity
) -> None:
    """gRPC opens what is compressed by itself: as far as the largest message, and no further."""
    bomb = gzip.compress(bytes(64 * MEBIBYTE))  # 65 kB
    sent = b"\1" + len(bomb).to_bytes(4, "big") + bomb
    process = psutil.Process()
    with serving(hub) as (port, echo), connected(silo, port) as line:
        before = process.memory_info().rss
        stream = line.call_with("/t.Echo/Unary", "grpc-encoding", "gzip", 1)
        line.send(stream, *(sent[at : at + 16_000] for at in range(0, len(sent), 16_000)))
        assert line.read(b"grpc-status\x018")
        assert process.memory_info().rss - before < 20 * MEBIBYTE
        assert echo.calls == 0


def test_a_line_that_does_not_acknowledge_the_limits_is_closed(
    any_line: None, hub: Identity, silo: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it does, gRPC lets it have calls and metadata without them."""
    options = dict(tls.SERVER_OPTIONS)
    assert options["grpc.http2.settings_timeout"] <= 10_000
    monkeypatch.setattr(tls, "SERVER_OPTIONS", tuple((options | {"grpc.http2.settings_timeout": 300}).items()))
    with serving(hub) as (port, _), connected(silo, port, deaf=True) as line:
        start = time.monotonic()
        assert not line.read(b"what never comes")
        assert time.monotonic() - start < 5


@pytest.mark.slow
def test_a_line_that_does_not_acknowledge_the_limits_takes_so_much_memory(
    any_line: None, hub: Identity, silo: Identity, other: Identity
) -> None:
    """As much metadata a call as gRPC takes then, 16 MiB by HTTP/2's count, in many short entries."""
    process = psutil.Process()
    with serving(hub) as (port, _), tls.channel(other, f"localhost:{port}") as channel:
        call = channel.unary_unary("/t.Echo/Unary")
        call(b"", timeout=10)
        before, most, ended = process.memory_info().rss, 0, threading.Event()

        def flood() -> None:
            while not ended.is_set():
                try:
                    with connected(silo, port, deaf=True) as line:
                        while not ended.is_set():
                            line.call_with_references("/t.Echo/Up", 400_000)
                except OSError:
                    continue  # the server ended the connection; again

        with ThreadPoolExecutor(1) as pool:
            pool.submit(flood)
            end = time.monotonic() + 15
            while time.monotonic() < end:
                call(b"", timeout=20)
                most = max(most, process.memory_info().rss - before)
                time.sleep(0.02)
            ended.set()
    print(f"metadata before the limits are acknowledged: {most / MEBIBYTE:.0f} MiB")
    assert most < 1024 * MEBIBYTE


@pytest.mark.slow
def test_a_message_in_a_million_tiny_frames_takes_little_memory(any_line: None, hub: Identity, silo: Identity) -> None:
    process = psutil.Process()
    with serving(hub) as (port, _), connected(silo, port) as line:
        before = process.memory_info().rss
        most = 0
        stream = line.call("/t.Echo/Up")
        line.send(stream, message(0, 1_000_000))
        for _ in range(1000):
            line.send(stream, *repeat(b"\0", 1000))
            most = max(most, process.memory_info().rss - before)
        line.end(stream)
        assert line.read(b"1 spiffe://chest-net/silo/st-marys")
    print(f"a million frames of a byte: {most / MEBIBYTE:.0f} MiB")
    assert most < 100 * MEBIBYTE


@pytest.mark.slow
def test_a_million_calls_that_are_reset_at_once_take_nothing_from_others(
    any_line: None, hub: Identity, silo: Identity, other: Identity
) -> None:
    process = psutil.Process()
    with serving(hub) as (port, _), tls.channel(other, f"localhost:{port}") as channel:
        call = channel.unary_unary("/t.Echo/Unary")
        call(b"", timeout=10)
        before, slowest, ended = process.memory_info().rss, 0.0, threading.Event()

        def flood() -> None:
            while not ended.is_set():
                try:
                    with connected(silo, port) as line:
                        for _ in range(50):
                            line.reset_many("/t.Echo/Unary", 1000)
                except OSError:
                    continue  # the server ended the connection, as it should; again

        with ThreadPoolExecutor(1) as pool:
            pool.submit(flood)
            end = time.monotonic() + 8
            while time.monotonic() < end:
                start = time.monotonic()
                call(b"", timeout=10)
                slowest = max(slowest, time.monotonic() - start)
                time.sleep(0.02)
            ended.set()
        growth = process.memory_info().rss - before
    print(f"calls reset at once: others wait {slowest:.2f} s at most, {growth / MEBIBYTE:.0f} MiB")
    assert slowest < 5
    assert growth < 200 * MEBIBYTE

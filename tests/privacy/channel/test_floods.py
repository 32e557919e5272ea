"""What connections, strangers' too, may have of a server before any code of ours runs: the gRPC options, in small."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import grpc
import pytest

from privacy.channel import tls
from privacy.channel.identity import Identity
from privacy.channel.limits import Allowance
from privacy.channel.member import Member
from tests.privacy.channel.hostile import connected
from tests.privacy.channel.serving import changed, serving

SERVER = dict(tls.SERVER_OPTIONS)
CONNECTIONS, HANDSHAKE, STREAMS = (
    "grpc.max_allowed_incoming_connections",
    "grpc.server_handshake_timeout_ms",
    "grpc.max_concurrent_streams",
)


def test_no_limit_is_left_to_the_default() -> None:
    assert SERVER[CONNECTIONS] <= 1024
    assert SERVER[HANDSHAKE] <= 20_000
    assert SERVER[STREAMS] <= 8
    assert SERVER["grpc.max_metadata_size"] <= 16 * 1024
    assert SERVER["grpc.http2.lookahead_bytes"] <= 2**17
    assert SERVER["grpc.http2.bdp_probe"] == 0


def test_a_stranger_who_does_not_shake_hands_is_hung_up_on(hub: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says nothing, and one that says a byte now and then."""
    monkeypatch.setattr(tls, "SERVER_OPTIONS", changed(tls.SERVER_OPTIONS, {HANDSHAKE: 300}))
    with serving(hub) as (port, _), ExitStack() as stack:
        silent, slow = (stack.enter_context(socket.create_connection(("127.0.0.1", port), 5)) for _ in range(2))
        until = time.monotonic() + 5
        with suppress(OSError):  # the end of the line
            for byte in b"\x16\x03\x01\x20\x00" + bytes(2**13):
                slow.sendall(bytes([byte]))
                time.sleep(0.02)
                assert time.monotonic() < until
        for line in (silent, slow):
            with suppress(ConnectionResetError):
                assert line.recv(1) == b""


def test_so_many_connections_are_open_and_one_that_leaves_makes_room(
    any_line: None, hub: Identity, silo: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "SERVER_OPTIONS", changed(tls.SERVER_OPTIONS, {CONNECTIONS: 2}))
    with serving(hub) as (port, echo), ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(connected(silo, port))
        for _ in range(3):
            with pytest.raises((ssl.SSLError, ConnectionError)), connected(silo, port):
                pass
        stack.close()
        until = time.monotonic() + 5
        while not echo.calls:
            assert time.monotonic() < until
            with suppress(OSError), connected(silo, port) as line:
                line.end(line.call("/t.Echo/Up"))
                line.read(b"spiffe://chest-net/silo/st-marys")


@pytest.mark.parametrize("deaf", [False, True])
def test_a_connection_carries_so_many_calls(
    any_line: None, hub: Identity, silo: Identity, monkeypatch: pytest.MonkeyPatch, deaf: bool
) -> None:
    """From its start: whether it acknowledged the limits or not."""
    monkeypatch.setattr(tls, "SERVER_OPTIONS", changed(tls.SERVER_OPTIONS, {STREAMS: 3}))
    come, go = threading.Semaphore(0), threading.Event()

    def answer(context: grpc.ServicerContext) -> bytes:
        come.release()
        go.wait(20)
        return b""

    with serving(hub, answer, allowance=Allowance(calls=20)) as (port, _), connected(silo, port, deaf=deaf) as line:
        for _ in range(6):
            line.end(line.call("/t.Echo/Up"))
        for _ in range(3):
            assert come.acquire(timeout=10)
        assert not come.acquire(timeout=0.3)
        go.set()


def test_a_stream_sends_little_ahead_of_its_handler(hub: Identity, silo: Identity) -> None:
    """Also after much went over the connection, from which gRPC would learn that it may send more."""
    go, part, sent, held = threading.Event(), bytes(2**14), [0], [False]

    def admit(member: Member) -> None:
        if held[0]:
            go.wait(20)

    def parts(count: int) -> Iterator[bytes]:
        for _ in range(count):
            sent[0] += len(part)
            yield part

    with serving(hub, admit=admit) as (port, _), tls.channel(silo, f"localhost:{port}") as channel:
        call = channel.stream_unary("/t.Echo/Up")
        call(parts(1000), timeout=20)
        held[0], sent[0] = True, 0
        running = call.future(parts(1000), timeout=20)
        before = -1
        while before != sent[0]:
            before = sent[0]
            time.sleep(0.2)
        assert abs(sent[0] - 2**17) <= len(part), "no more, and no less, as it would crawl"
        go.set()
        assert running.result().startswith(b"1000 ")

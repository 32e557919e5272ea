"""A line that somebody on the way forgets in silence is noticed, and one that is only idle is kept."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc._cython import cygrpc

from privacy.channel import tls
from privacy.channel.identity import Identity
from privacy.channel.status import calling
from privacy.errors import CollegiumError, Unreachable
from tests.e2e.relay import Relay
from tests.privacy.channel import hostile
from tests.privacy.channel.serving import changed, serving

CLIENT, SERVER = dict(tls.CLIENT_OPTIONS), dict(tls.SERVER_OPTIONS)
INTERVAL = "grpc.http2.min_ping_interval_without_data_ms"


def test_grpc_knows_every_option() -> None:
    """It says nothing to a name that it does not know, and does as if there were none."""
    library = Path(cygrpc.__file__).read_bytes()
    assert [name for name in (*CLIENT, *SERVER) if name.encode() + b"\0" not in library] == []


def test_pings_are_in_time_for_every_nat_and_welcome_at_the_server() -> None:
    assert CLIENT["grpc.keepalive_time_ms"] <= 60_000
    assert CLIENT["grpc.http2.ping_timeout_ms"] == CLIENT["grpc.keepalive_timeout_ms"] <= 20_000
    assert CLIENT["grpc.http2.max_pings_without_data"] == 0, "no end of them"
    assert CLIENT["grpc.keepalive_permit_without_calls"] == SERVER["grpc.keepalive_permit_without_calls"] == 1
    assert 2 * SERVER[INTERVAL] <= CLIENT["grpc.keepalive_time_ms"]
    assert 0 < SERVER["grpc.http2.max_ping_strikes"] <= 2
    assert CLIENT["grpc.max_reconnect_backoff_ms"] <= 15_000
    assert CLIENT["grpc.initial_reconnect_backoff_ms"] <= CLIENT["grpc.min_reconnect_backoff_ms"] <= 2_000


def test_pings_on_an_idle_line_are_answered_and_a_flood_of_them_ends_it(
    any_line: None, hub: Identity, silo: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand, as the C core does not ping more often than each second."""
    with serving(hub) as (port, _), hostile.connected(silo, port) as line:
        for number in range(20):
            line.ping(number)
        assert line.read(b"too_many_pings")
    monkeypatch.setattr(tls, "SERVER_OPTIONS", changed(tls.SERVER_OPTIONS, {INTERVAL: 10}))
    with serving(hub) as (port, echo), hostile.connected(silo, port) as line:
        for number in range(10):
            time.sleep(0.02)
            line.ping(number)
            assert line.read(number.to_bytes(8, "big")), "its answer"
        stream = line.call("/t.Echo/Up")
        line.end(stream)
        assert line.read(b"0 spiffe://chest-net/silo/st-marys")
        assert echo.calls == 1


@contextmanager
def connected(hub: Identity, silo: Identity) -> Iterator[tuple[grpc.Channel, Relay]]:
    """A line through a relay that was used."""
    with serving(hub) as (port, _), Relay(port) as relay, tls.channel(silo, f"localhost:{relay.port}") as channel:
        assert channel.unary_unary("/t.Echo/Unary")(b"", timeout=10)
        yield channel, relay


def test_a_line_that_is_swallowed_is_noticed_and_the_next_call_takes_a_new_one(
    hub: Identity, silo: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One amid a call, and one that is idle, as while a round trains."""
    shortened = {"grpc.keepalive_time_ms": 500, "grpc.http2.ping_timeout_ms": 500}
    monkeypatch.setattr(tls, "CLIENT_OPTIONS", changed(tls.CLIENT_OPTIONS, shortened))
    silent, states = threading.Event(), list[grpc.ChannelConnectivity]()

    def slowly() -> Iterator[bytes]:
        yield b"first"
        silent.wait(20)

    def next_call(channel: grpc.Channel) -> bytes:
        with calling("the aggregator"):
            return bytes(channel.unary_unary("/t.Echo/Unary")(b"", timeout=10, wait_for_ready=True))

    with connected(hub, silo) as (idle, idle_relay), connected(hub, silo) as (busy, busy_relay):
        idle.subscribe(states.append)
        running = busy.stream_unary("/t.Echo/Up").future(slowly(), timeout=20)
        idle_relay.swallow()
        busy_relay.swallow()
        until = time.monotonic() + 8
        with pytest.raises(CollegiumError) as caught, calling("the aggregator"):
            running.result()
        assert (type(caught.value), caught.value.code) == (Unreachable, Unreachable("").code)
        assert time.monotonic() < until
        silent.set()
        while states[-1] is grpc.ChannelConnectivity.READY:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert next_call(idle) == next_call(busy) == silo.member.uri.encode()
        assert (idle_relay.connections, busy_relay.connections) == (2, 2)

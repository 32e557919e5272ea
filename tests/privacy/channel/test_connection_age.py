"""Connections have an age, on a real line: calls go on over new ones, and each call is looked at as before."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import grpc
import pytest

from privacy.channel import tls
from privacy.channel.identity import Identity
from privacy.channel.status import calling
from privacy.errors import IdentityError, Unreachable
from tests.privacy.channel.serving import serving

AGE, GRACE = 200, 200


def shortened(age: int, grace: int) -> tuple[tuple[str, int], ...]:
    """The options of the server, in which connections live only so many milliseconds."""
    options = dict(tls.SERVER_OPTIONS)
    assert options["grpc.max_connection_age_ms"] <= 15 * 60_000
    assert options["grpc.max_connection_age_grace_ms"] <= 60 * 60_000, "however long a call, its connection ends"
    return tuple((options | {"grpc.max_connection_age_ms": age, "grpc.max_connection_age_grace_ms": grace}).items())


def test_calls_go_on_over_new_connections_and_are_checked_on_each(
    hub: Identity, silo: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "SERVER_OPTIONS", shortened(AGE, GRACE))
    now = [datetime.now(UTC)]
    lines: dict[str, int] = {}

    def answer(context: grpc.ServicerContext) -> bytes:
        (version,) = cast(tuple[bytes], context.auth_context()["ssl_tls_version"])
        lines[context.peer()] = lines.get(context.peer(), 0) + 1
        return version

    with serving(hub, answer, clock=lambda: now[0]) as (port, echo), tls.channel(silo, f"localhost:{port}") as channel:
        call = channel.unary_unary("/t.Echo/Unary")
        deadline = time.monotonic() + 15
        while len(lines) < 3:
            assert time.monotonic() < deadline
            with calling("the aggregator"):
                assert call(b"", timeout=10) == b"TLSv1.3"
            time.sleep(0.01)
        assert max(lines.values()) > 1, "one connection serves many calls"
        served = echo.calls
        now[0] += timedelta(days=366)
        with pytest.raises(IdentityError) as caught, calling("the aggregator"):
            call(b"", timeout=10)
        assert (caught.value.code, echo.calls) == ("identity.expired", served)


def test_a_call_may_finish_within_the_grace_and_is_cut_after_it(
    hub: Identity, silo: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(seconds: float) -> Iterator[bytes]:
        for _ in range(10):
            time.sleep(seconds / 10)
            yield b"part"

    with monkeypatch.context() as long:
        long.setattr(tls, "SERVER_OPTIONS", shortened(AGE, 60_000))
        with serving(hub) as (port, _), tls.channel(silo, f"localhost:{port}") as channel, calling("the aggregator"):
            assert channel.stream_unary("/t.Echo/Up")(slowly(0.8), timeout=10).startswith(b"10 ")
    monkeypatch.setattr(tls, "SERVER_OPTIONS", shortened(AGE, GRACE))
    with serving(hub) as (port, _), tls.channel(silo, f"localhost:{port}") as channel:
        with pytest.raises(Unreachable), calling("the aggregator"):
            channel.stream_unary("/t.Echo/Up")(slowly(3.0), timeout=10)
        with calling("the aggregator"):
            assert channel.unary_unary("/t.Echo/Unary")(b"", timeout=10, wait_for_ready=True)

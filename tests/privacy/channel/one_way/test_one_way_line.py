"""One-way lines over real gRPC: served through an honest proxy that opens TLS, counted, apart from the mutual port."""

from datetime import UTC, datetime, timedelta

import grpc
import pytest

from privacy.channel import tls
from privacy.channel.identity import Identity
from privacy.channel.one_way.records import BEGIN
from privacy.channel.status import calling
from privacy.errors import IdentityError, StorageError, Unreachable
from tests.privacy.channel.one_way.lines import NAME, STUDY, call, line_to, refused, through
from tests.privacy.channel.serving import raw_channel, serving, serving_one_way


def test_every_kind_of_call_goes_through_a_proxy_that_opens_tls(hub: Identity, silo: Identity) -> None:
    with through(hub, silo) as (line, echo, proxy):
        assert call(line) == NAME
        assert call(line, "Down") == [b"first", NAME]
        assert call(line, "Up") == b"3 " + NAME
        assert echo.calls == 3
        assert [method for method, _ in proxy.heads] == [BEGIN, "/t.Echo/Unary", "/t.Echo/Down", "/t.Echo/Up"]
        assert any(record.endswith(b"ask") for record in proxy.seen["/t.Echo/Unary"]), "it reads what is sent"


def test_what_is_sent_is_counted_before_it_is(hub: Identity, silo: Identity) -> None:
    counted: list[tuple[str, int]] = []

    def count(method: str, message: bytes) -> None:
        counted.append((method, len(message)))
        if message == b"c":
            raise StorageError("full")

    with serving_one_way(hub, [silo], STUDY) as (port, echo):
        line = line_to(hub, silo, port, hub.authority_pem, count=count)
        assert call(line) == NAME
        with pytest.raises(StorageError, match="full"):
            call(line, "Up")
        line.close()
        assert echo.calls == 1
    assert [method for method, _ in counted] == [BEGIN, "/t.Echo/Unary", *["/t.Echo/Up"] * 3]
    assert counted[1][1] == len(b"ask")


def test_a_line_goes_on_after_the_aggregator_was_started_again(hub: Identity, silo: Identity) -> None:
    with serving_one_way(hub, [silo], STUDY) as (port, _):
        line = line_to(hub, silo, port, hub.authority_pem)
        assert call(line) == NAME
    with serving_one_way(hub, [silo], STUDY, port=port) as (_, echo):
        deadline = datetime.now(UTC) + timedelta(seconds=20)
        codes = set()
        while not echo.calls:
            assert datetime.now(UTC) < deadline
            try:
                call(line)
            except Unreachable as error:
                codes.add(error.code)
        assert "one_way.stale" in codes, "heads of before the restart are worth nothing"
        line.close()


def test_the_mutual_port_still_asks_for_a_certificate_and_this_one_for_a_head(hub: Identity, silo: Identity) -> None:
    with serving(hub) as (port, echo):
        with raw_channel(port, hub.authority_pem, None, None) as channel, pytest.raises(grpc.RpcError):
            channel.unary_unary("/t.Echo/Unary")(b"", timeout=5)
        line = line_to(hub, silo, port, hub.authority_pem)
        assert isinstance(refused(line), Unreachable)
        line.close()
        assert echo.calls == 0
    with serving_one_way(hub, [silo], STUDY) as (port, echo):
        mutual = tls.channel(silo, f"localhost:{port}")
        with mutual, pytest.raises(IdentityError) as caught, calling("the aggregator"):
            mutual.unary_unary("/t.Echo/Unary")(b"", timeout=10)
        assert caught.value.code == "one_way.port"
        assert echo.calls == 0

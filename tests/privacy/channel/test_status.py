import logging
from threading import Event

import grpc
import pytest

from privacy import errors
from privacy.channel import tls
from privacy.channel.identity import Identity
from privacy.channel.status import MAX_TEXT, Translation, calling
from privacy.errors import CollegiumError, ProtocolError, Unreachable
from tests.privacy.channel import serving as served
from tests.privacy.channel.serving import serving

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, CollegiumError) and kind is not CollegiumError
]


def call(hub: Identity, silo: Identity, error: Exception, kind: str = "unary_unary") -> None:
    def fail(_: grpc.ServicerContext) -> bytes:
        raise error

    methods = {"unary_unary": "Unary", "unary_stream": "Down", "stream_unary": "Up", "stream_stream": "Both"}
    request = iter([b"a"]) if kind.startswith("stream") else b""
    with serving(hub, fail) as (port, _), tls.channel(silo, f"localhost:{port}") as channel, calling("the aggregator"):
        answer = getattr(channel, kind)(f"/t.Echo/{methods[kind]}")(request, timeout=10)
        if kind.endswith("stream"):
            list(answer)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_comes_out_as_it_went_in(hub: Identity, silo: Identity, kind: type[CollegiumError]) -> None:
    with pytest.raises(kind) as caught:
        call(hub, silo, kind("the round is over, wait for the next; größer", code="area.what"))
    assert type(caught.value) is kind
    assert caught.value.code == "area.what"
    assert str(caught.value) == "the aggregator says: the round is over, wait for the next; größer"
    assert caught.value.exit_code == kind.exit_code


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
def test_errors_cross_all_kinds_of_calls(hub: Identity, silo: Identity, kind: str) -> None:
    with pytest.raises(errors.RoundAbandoned) as caught:
        call(hub, silo, errors.RoundAbandoned("too few silos"), kind)
    assert caught.value.code == "round.abandoned"


def test_what_is_refused_is_counted_by_its_code_and_who_called(
    monkeypatch: pytest.MonkeyPatch, hub: Identity, silo: Identity
) -> None:
    counts: list[tuple[str, str]] = []
    monkeypatch.setattr(served, "Translation", lambda: Translation(lambda *one: counts.append(one)))
    for error in (ProtocolError("no", code="area.what"), ValueError("a defect")):
        with pytest.raises(ProtocolError):
            call(hub, silo, error)
    assert counts == [("area.what", silo.member.name), ("defect", silo.member.name)]


def test_a_derived_error_crosses_as_its_documented_base(hub: Identity, silo: Identity) -> None:
    class Special(errors.StudyError):
        pass

    with pytest.raises(errors.StudyError, match="special") as caught:
        call(hub, silo, Special("special", code="study.special"))
    assert caught.value.code == "study.special"


def test_a_defect_crosses_as_a_number_alone(hub: Identity, silo: Identity, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(ProtocolError) as caught:
        call(hub, silo, ValueError("patient 4711 in /data/secret"))
    assert caught.value.code == "peer.defect"
    assert "4711" not in str(caught.value)
    incident = str(caught.value).split("incident ")[1][:8]
    assert incident in caplog.text
    cause = caught.value.__cause__
    assert isinstance(cause, grpc.RpcError)
    assert cause.code() is grpc.StatusCode.INTERNAL
    assert "4711" not in repr(cause)


def test_the_text_of_a_peer_is_cut_and_printable(hub: Identity, silo: Identity) -> None:
    with pytest.raises(errors.StudyError) as caught:
        call(hub, silo, errors.StudyError("\x1b[2J" + "x" * 1000))
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) <= MAX_TEXT + len("the aggregator says: ")


def test_nobody_there_is_unreachable(silo: Identity) -> None:
    with (
        tls.channel(silo, "localhost:1") as channel,
        pytest.raises(Unreachable, match="does not answer") as caught,
        calling("the aggregator at localhost:1"),
    ):
        channel.unary_unary("/t.Echo/Unary")(b"", timeout=5)
    assert caught.value.exit_code == 75


def test_too_late_is_a_timeout(hub: Identity, silo: Identity) -> None:
    held = Event()

    def wait(_: grpc.ServicerContext) -> bytes:
        held.wait(5)
        return b""

    with serving(hub, wait) as (port, _), tls.channel(silo, f"localhost:{port}") as channel:
        with pytest.raises(Unreachable) as caught, calling("the aggregator"):
            channel.unary_unary("/t.Echo/Unary")(b"", timeout=0.3)
        held.set()
    assert caught.value.code == "peer.timeout"


def test_an_unknown_call_means_another_version(hub: Identity, silo: Identity) -> None:
    with (
        serving(hub) as (port, _),
        tls.channel(silo, f"localhost:{port}") as channel,
        pytest.raises(ProtocolError) as caught,
        calling("the aggregator"),
    ):
        channel.unary_unary("/t.Echo/Future")(b"", timeout=10)
    assert caught.value.code == "peer.version"


def test_a_message_that_is_too_large_is_told_as_such(hub: Identity, silo: Identity) -> None:
    with (
        serving(hub) as (port, _),
        tls.channel(silo, f"localhost:{port}") as channel,
        pytest.raises(ProtocolError, match="message sizes"),
        calling("the aggregator"),
    ):
        channel.unary_unary("/t.Echo/Unary")(bytes(tls.MAX_MESSAGE_BYTES + 1), timeout=10)

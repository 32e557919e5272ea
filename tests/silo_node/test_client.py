"""The client's patience: it tries again what may pass, and gives up in time with a sentence that helps."""

import socket
import time
from collections.abc import Iterator

import pytest

from privacy.errors import ProtocolError, StorageError, Unreachable
from privacy.wire.messages import Phase
from silo_node.client import AggregatorClient
from tests.aggregator.hub import Members


@pytest.fixture
def client(members: Members) -> Iterator[AggregatorClient]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        made = AggregatorClient(members.of(1), f"127.0.0.1:{unused.getsockname()[1]}", bytes(32), 1.0)
        yield made
        made.close()


def test_an_aggregator_that_is_not_there_is_unreachable_within_our_patience(client: AggregatorClient) -> None:
    start = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        client.board(1, Phase.SURVIVORS)
    assert time.monotonic() - start < 5
    assert caught.value.exit_code == 75
    assert "127.0.0.1" in str(caught.value)


class Flaky:
    """Fails a number of times, then answers."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.left, self.error, self.calls = failures, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise self.error
        return "answer"


def test_what_cannot_be_reached_is_tried_again(client: AggregatorClient, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    call = Flaky(3, Unreachable("not now"))
    assert client._patiently(call) == "answer"
    assert call.calls == 4
    for position, wait in enumerate(waits):
        assert 0.5 * 0.2 * 2**position <= wait <= 1.5 * 0.2 * 2**position


def test_patience_ends(client: AggregatorClient, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    call = Flaky(10**9, Unreachable("not now"))
    with pytest.raises(Unreachable):
        client._patiently(call)
    assert now[0] <= 1.0 + 0.3
    assert call.calls >= 2


@pytest.mark.parametrize("error", [ProtocolError("no"), StorageError("full"), ValueError("defect")])
def test_a_refusal_is_not_tried_again(client: AggregatorClient, error: Exception) -> None:
    call = Flaky(1, error)
    with pytest.raises(type(error)):
        client._patiently(call)
    assert call.calls == 1

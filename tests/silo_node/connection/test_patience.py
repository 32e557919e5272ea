"""The silo's patience: it tries again what may pass, and gives up in time with a sentence that helps."""

import time

import grpc
import pytest

from privacy.errors import ProtocolError, StorageError, Unreachable
from silo_node.connection.patience import Patience

UNREACHABLE = Unreachable("the name is not known")


def patient(seconds: float = 1.0) -> Patience:
    return Patience("the aggregator", seconds, lambda: UNREACHABLE)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every wait, of which none takes any time but by the clock that goes with them: no machine is too slow for it."""
    waited: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: sum(waited))
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


class Flaky:
    """Fails a number of times, then answers."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.left, self.error, self.calls = failures, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise self.error
        return "answer"


def test_what_cannot_be_reached_is_tried_again(waits: list[float]) -> None:
    call = Flaky(3, Unreachable("not now"))
    assert patient(10.0).until_answered(call) == "answer"
    assert call.calls == 4
    for position, wait in enumerate(waits):
        assert 0.5 * 0.2 * 2**position <= wait <= 1.5 * 0.2 * 2**position


def test_waits_double_up_to_a_longest_and_are_spread(waits: list[float]) -> None:
    """However long an aggregator was away, silos come back within seconds, and not all at the same instant."""
    call, growing = Flaky(220, Unreachable("not now")), (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)
    assert patient(10**9).until_answered(call, lambda: call.calls > 200) == "answer"
    before, after = waits[:200], waits[200:]
    for these in (before, after):  # a step forward begins again
        for place, wait in enumerate(these):
            middle = growing[place] if place < len(growing) else 15.0
            assert 0.5 * middle <= wait <= 1.5 * middle, (len(these), place)
    assert min(before[7:]) < 9
    assert max(before) > 21


@pytest.mark.usefixtures("waits")
def test_a_full_disk_at_the_aggregator_is_waited_out_and_one_here_is_not() -> None:
    theirs, ours = StorageError("the disk is full", code="storage.full"), StorageError("the disk is full")
    theirs.__cause__ = grpc.RpcError()
    assert patient(10.0).until_answered(Flaky(3, theirs)) == "answer"
    with pytest.raises(StorageError):
        patient().until_answered(Flaky(1, ours))
    with pytest.raises(Unreachable, match="the disk is full") as caught:
        patient(0.0).until_answered(Flaky(1, theirs))
    assert caught.value.code == "peer.storage"


def test_patience_ends(waits: list[float]) -> None:
    call = Flaky(10**9, Unreachable("not now"))
    with pytest.raises(Unreachable) as caught:
        patient().until_answered(call)
    assert caught.value is UNREACHABLE
    assert sum(waits) <= 1.0 + 0.3
    assert call.calls >= 2


def test_patience_starts_anew_with_each_step_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a transfer takes on a line that breaks: only without progress it ends."""
    now, arrived = [0.0], [0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))

    def call() -> None:
        now[0] += 100.0
        arrived[0] = min(arrived[0] + 1, 7)
        raise Unreachable("not now")

    with pytest.raises(Unreachable):
        patient().until_answered(call, lambda: arrived[0])
    assert arrived[0] == 7
    assert 800 <= now[0] <= 1000


@pytest.mark.parametrize("error", [ProtocolError("no"), StorageError("full"), ValueError("defect")])
def test_a_refusal_is_not_tried_again(error: Exception) -> None:
    call = Flaky(1, error)
    with pytest.raises(type(error)):
        patient().until_answered(call)
    assert call.calls == 1

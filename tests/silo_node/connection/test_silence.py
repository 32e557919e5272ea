"""A silo that gets no answer says why: soon, then every hour or for another reason, and once when it is over."""

import io
import time
from pathlib import Path

import pytest

from privacy.errors import CollegiumError, ProtocolError, Unreachable
from privacy.operations.events import Events
from privacy.operations.live import LiveFile, read
from silo_node.connection.patience import Patience
from silo_node.connection.silence import Silence
from silo_node.rounds.progress import Progress

DAYS = 7 * 86400.0


class Line:
    """An aggregator that fails until an instant of a made-up clock, for a reason of that instant."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.now, self.diagnosed = 0.0, 0
        self.reason = lambda: Unreachable("nobody listens there; have it started", code="peer.refused")
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self._sleep)
        self.log, self.root = io.StringIO(), root
        events = Events(self.log, "silo", "chest", as_json=False)
        self.progress = Progress(None, 20, "chest", LiveFile(root), events)
        self.progress.say("phase", 3, phase="waiting")
        self.patience = Patience("the aggregator", DAYS, self._diagnose, Silence(self.progress))

    def down_for(self, seconds: float, last: Exception | None = None) -> str:
        end = self.now + seconds

        def call() -> str:
            if self.now < end:
                raise Unreachable("Socket closed")
            if last is not None:
                raise last
            return "answer"

        return self.patience.until_answered(call)

    @property
    def told(self) -> list[str]:
        return self.log.getvalue().splitlines()

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _diagnose(self) -> CollegiumError:
        self.diagnosed += 1
        return self.reason()


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Line:
    return Line(monkeypatch, tmp_path)


def test_it_is_told_within_seconds_every_hour_and_when_it_is_over(line: Line) -> None:
    assert line.down_for(9000.0) == "answer"
    assert len(line.told) == 4
    assert all(one.startswith("warning: ") for one in line.told[:3])
    assert all(one.endswith("nobody listens there; have it started [peer.refused]") for one in line.told[:3])
    assert line.told[3].startswith("the aggregator answers again, after 90")
    assert line.diagnosed <= 9000 / 60 + 1


def test_another_reason_is_told_at_once(line: Line) -> None:
    def reason() -> Unreachable:
        return Unreachable("x; y", code="peer.refused" if line.now < 100 else "peer.proxy_login")

    line.reason = reason
    line.down_for(300.0)
    assert [one.rpartition("[")[2] for one in line.told[:2]] == ["peer.refused]", "peer.proxy_login]"]
    assert len(line.told) == 3


def test_a_line_that_breaks_for_a_moment_is_no_news(line: Line) -> None:
    line.down_for(1.0)
    assert (line.told, line.diagnosed) == ([], 0)


def test_a_line_that_comes_and_goes_is_told_every_hour(line: Line) -> None:
    for _ in range(10):
        line.down_for(60.0)
        line.now += 60.0
    assert [one.partition(":")[0].partition(",")[0] for one in line.told] == ["warning", "the aggregator answers again"]


def test_a_refusal_is_an_answer(line: Line) -> None:
    with pytest.raises(ProtocolError):
        line.down_for(60.0, ProtocolError("no"))
    assert line.told[-1].startswith("the aggregator answers again")


def test_a_step_forward_is_an_answer(line: Line) -> None:
    arrived = 0

    def call() -> None:
        nonlocal arrived
        arrived += 1
        line.now += 100.0
        if arrived < 5:
            raise Unreachable("Socket closed")

    line.patience.until_answered(call, lambda: arrived)
    assert line.told == []


def test_who_watches_sees_since_when_and_why(line: Line) -> None:
    seen: list[object] = []
    real = line.reason

    def reason() -> Unreachable:
        live = read(line.root)
        seen.append(live and live.said["no_answer_code"])
        return real()

    line.reason = reason
    line.down_for(200.0)
    assert seen[0] is None
    assert seen[1:] == ["peer.refused"] * (len(seen) - 1)
    live = read(line.root)
    assert live is not None
    assert (live.said["phase"], live.said["no_answer_since"], live.said["no_answer_code"]) == ("waiting", None, None)

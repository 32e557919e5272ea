"""What a person is told of rounds: little, in time, and how long it took."""

import time

import pytest

from privacy.operations.pace import Pace


class Clock:
    """An instant that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.lines = 0.0, list[str]()
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.pace = Pace(self.lines.append, "chest", 21, {"waiting": "the other silos' uploads", "keys": "the steward"})

    def last(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.now += 1.0
            self.pace.look()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_what_comes_before_the_first_round_is_told_at_once(clock: Clock) -> None:
    clock.pace.phase(0, "loading")
    clock.pace.phase(0, "keys")
    assert clock.lines == ["study 'chest': loading", "study 'chest': keys; awaited: the steward"]


def test_a_round_is_one_line_with_where_its_time_went(clock: Clock) -> None:
    for number in (3, 4):
        clock.pace.phase(number, "training")
        clock.last(12)
        clock.pace.phase(number, "sending")
        clock.pace.phase(number, "waiting")
        clock.last(25)
        clock.pace.ended(number, "closed with 5 silos")
    assert clock.lines == [
        f"round {number} of 21: closed with 5 silos, after 37 s (training 12 s, waiting 25 s)" for number in (3, 4)
    ]


def test_a_phase_that_lasts_is_told_ever_more_rarely(clock: Clock) -> None:
    clock.pace.phase(3, "waiting")
    clock.last(3600)
    clock.pace.phase(3, "waiting")  # it goes on
    clock.last(3600)
    awaited = "so far; awaited: the other silos' uploads"
    assert clock.lines == [f"round 3 of 21: waiting for {t} {awaited}" for t in ("30 s", "2 min", "8 min", "32 min")]


def test_nothing_is_told_between_rounds(clock: Clock) -> None:
    clock.pace.phase(20, "opening")
    clock.pace.ended(20, "abandoned")
    clock.last(600)
    assert clock.lines == ["round 20 of 21: abandoned, after 0 s"]

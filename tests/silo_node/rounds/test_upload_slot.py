"""The instant of an upload is a multiple of the slot, whatever came before."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silo_node.rounds.upload_slot import UploadSlot


@dataclass
class VirtualTime:
    """A clock that only sleeping and working move."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now += seconds


@given(st.integers(1, 86400), st.floats(0, 1e6))
def test_it_is_the_next_multiple_of_the_slot(seconds: int, training: float) -> None:
    time = VirtualTime(now=0.0)
    start = time.now
    time.now += training
    missed = UploadSlot(seconds, time.clock, time.sleep).wait(start)
    assert time.now == pytest.approx((missed + 1) * seconds)
    assert time.now >= training
    assert time.now - training <= seconds * (1 + 1e-9)


@pytest.mark.parametrize(("training", "leaves", "missed"), [(0, 60, 0), (59.9, 60, 0), (60, 60, 0), (60.1, 120, 1)])
def test_a_short_training_waits_and_a_long_one_takes_the_next_slot(training: float, leaves: int, missed: int) -> None:
    time = VirtualTime(now=0.0)
    time.now = training
    assert UploadSlot(60, time.clock, time.sleep).wait(0.0) == missed
    assert time.now == leaves


def test_a_sleep_that_ends_early_is_gone_on_with() -> None:
    time = VirtualTime(now=0.0)
    assert UploadSlot(60, time.clock, lambda seconds: time.sleep(min(seconds, 25.0))).wait(0.0) == 0
    assert (time.now, len(time.slept)) == (60, 3)


def test_without_a_slot_nothing_waits() -> None:
    time = VirtualTime()
    assert UploadSlot(0, time.clock, time.sleep).wait(0.0) == 0
    assert time.slept == []

"""What holds for all tests: generated examples have no deadline, and the garbage collector's work is bounded.

How long an example takes says something of what else the machine does, and nothing of what is tested; a test that hangs
is ended by pytest's own limit. What made an example fail is printed, so that it can be played again elsewhere.

Collection makes a million objects that live until the end; looked at by each full collection of the run, they cost a
sixth of the suite's processor time. They are set aside once; what tests make is collected as ever, in larger steps.
"""

import gc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "collegium", settings(), deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("collegium")

STEP = 10_000
"""New objects after which the youngest are looked at; Python's own 700 are for smaller programs."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    gc.disable()  # nearly nothing of what tests import is ever garbage
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(STEP, 10, 10)
        gc.enable()

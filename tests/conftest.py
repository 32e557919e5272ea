"""Keeps Python's garbage collector from walking over what all of the tests imported, again and again.

Collection makes a million objects that live until the end; looked at by each full collection of the run, they cost a
sixth of the suite's processor time. They are set aside once; what tests make is collected as ever, in larger steps.
"""

import gc
from collections.abc import Iterator

import pytest

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

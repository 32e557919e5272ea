"""Keeps Python's garbage collector from walking over what all of the tests imported, again and again.

Collection makes a million objects that live until the end; looked at by each full collection of the run, they cost a
sixth of the suite's processor time. They are set aside once; what tests make is collected as ever, in larger steps.
"""

import gc

import pytest

STEP = 10_000
"""New objects after which the youngest are looked at; Python's own 700 are for smaller programs."""

gc.disable()  # until all tests are collected: nearly nothing of what they import is ever garbage


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(STEP, 10, 10)
    gc.enable()

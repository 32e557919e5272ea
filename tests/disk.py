"""A disk that is not waited for. What is durable when, and what a refused fsync costs, is tested elsewhere:
`tests/privacy/test_durable.py`, `tests/privacy/ledger`, `tests/aggregator/storage`, the simulator, and at power cuts
(`tests/power.py`).
"""

import os
import sqlite3
from contextlib import AbstractContextManager

import pytest

from aggregator.storage.database import Database


@pytest.fixture
def without_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests in which programs end but no power is cut, so that files stay as they were written."""
    writing = Database.writing

    def unsynced(database: Database, *, synced: bool = True) -> AbstractContextManager[sqlite3.Connection]:
        return writing(database, synced=False)

    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(Database, "writing", unsynced)


@pytest.fixture(autouse=True)
def unwaited(without_fsync: None) -> None:
    """`without_fsync` for all tests of the folder whose conftest imports this."""

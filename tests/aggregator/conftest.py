import os
import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from aggregator.storage.database import Database
from tests.aggregator.hub import Hub, Members


@pytest.fixture(scope="session")
def members(tmp_path_factory: pytest.TempPathFactory) -> Members:
    return Members.enrol(tmp_path_factory.mktemp("members"))


@pytest.fixture(scope="session")
def four(tmp_path_factory: pytest.TempPathFactory) -> Members:
    """Four silos, of which three are enough."""
    return Members.enrol(tmp_path_factory.mktemp("four"), ("north", "south", "east", "west"))


@pytest.fixture
def without_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that stop the aggregator very often: a process ends, but no power is cut, so files stay as written."""
    writing = Database.writing

    def unsynced(database: Database, *, synced: bool = True) -> AbstractContextManager[sqlite3.Connection]:
        return writing(database, synced=False)

    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(Database, "writing", unsynced)


@pytest.fixture
def hub(tmp_path: Path, members: Members) -> Hub:
    return Hub(tmp_path, members)


@pytest.fixture
def large(tmp_path: Path, four: Members) -> Hub:
    return Hub(tmp_path, four)

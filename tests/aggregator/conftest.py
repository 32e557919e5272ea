import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from aggregator.database import Database, Step
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
    opened = Database.__init__

    def opening(database: Database, path: Path, steps: Sequence[Step]) -> None:
        opened(database, path, steps)
        database.rows("PRAGMA synchronous = OFF")

    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(Database, "__init__", opening)


@pytest.fixture
def hub(tmp_path: Path, members: Members) -> Hub:
    return Hub(tmp_path, members)


@pytest.fixture
def large(tmp_path: Path, four: Members) -> Hub:
    return Hub(tmp_path, four)

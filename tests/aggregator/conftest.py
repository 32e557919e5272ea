from pathlib import Path

import pytest

from tests.aggregator.hub import Hub
from tests.aggregator.members import Members
from tests.disk import without_fsync

__all__ = ["without_fsync"]


@pytest.fixture(scope="session")
def members(tmp_path_factory: pytest.TempPathFactory) -> Members:
    return Members.enrol(tmp_path_factory.mktemp("members"))


@pytest.fixture(scope="session")
def four(tmp_path_factory: pytest.TempPathFactory) -> Members:
    """Four silos, of which three are enough."""
    return Members.enrol(tmp_path_factory.mktemp("four"), ("north", "south", "east", "west"))


@pytest.fixture
def hub(tmp_path: Path, members: Members) -> Hub:
    return Hub(tmp_path, members)


@pytest.fixture
def large(tmp_path: Path, four: Members) -> Hub:
    return Hub(tmp_path, four)

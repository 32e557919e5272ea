from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aggregator.members import Members
from tests.silo_node.direct import World


@pytest.fixture(scope="session")
def members(tmp_path_factory: pytest.TempPathFactory) -> Members:
    return Members.enrol(tmp_path_factory.mktemp("members"))


@pytest.fixture(scope="session")
def four(tmp_path_factory: pytest.TempPathFactory) -> Members:
    """Four silos, of which three are enough."""
    return Members.enrol(tmp_path_factory.mktemp("four"), ("north", "south", "east", "west"))


@pytest.fixture(scope="session")
def fives(tmp_path_factory: pytest.TempPathFactory) -> Members:
    """Five silos, of which four are needed."""
    return Members.enrol(tmp_path_factory.mktemp("five"), ("north", "south", "east", "west", "centre"))


@pytest.fixture
def world(tmp_path: Path, members: Members) -> Iterator[World]:
    made = World(tmp_path / "world", members)
    with made.working():
        yield made


@pytest.fixture
def large(tmp_path: Path, four: Members) -> Iterator[World]:
    made = World(tmp_path / "world", four)
    with made.working():
        yield made


@pytest.fixture
def five(tmp_path: Path, fives: Members) -> Iterator[World]:
    made = World(tmp_path / "world", fives)
    with made.working():
        yield made

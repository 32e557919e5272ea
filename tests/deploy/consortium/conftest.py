from pathlib import Path

import pytest

from tests.consortium import Consortium


@pytest.fixture
def consortium(tmp_path: Path) -> Consortium:
    return Consortium(tmp_path)


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    """A consortium with three silos and an aggregator, which no test changes."""
    consortium = Consortium(tmp_path_factory.mktemp("full"))
    for name in ("st-marys", "st-johns", "st-pauls"):
        consortium.silo(name)
    consortium.aggregator()
    return consortium

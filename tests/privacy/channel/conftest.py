from pathlib import Path

import pytest

from privacy.channel import authorisation
from privacy.channel.identity import Identity
from tests.consortium import Consortium
from tests.softhsm import hsm

__all__ = ["hsm"]


@pytest.fixture(scope="session")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    return Consortium(tmp_path_factory.mktemp("chest"))


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    return Consortium(tmp_path_factory.mktemp("foreign"))


@pytest.fixture(scope="session")
def hub(consortium: Consortium) -> Identity:
    return consortium.aggregator()


@pytest.fixture(scope="session")
def silo(consortium: Consortium) -> Identity:
    return consortium.silo("st-marys")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.fixture
def any_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key exchange of the `ssl` of this Python will do, so that hand-made calls come as far as a good peer's."""
    monkeypatch.setattr(authorisation, "_check_line", lambda properties: None)

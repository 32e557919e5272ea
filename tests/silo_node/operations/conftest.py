from pathlib import Path

import pytest

from tests.silo_node.operations.site import Site
from tests.softhsm import hsm

__all__ = ["hsm"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)

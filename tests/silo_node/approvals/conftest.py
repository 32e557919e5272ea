"""A hospital for each test."""

from pathlib import Path

import pytest

from tests.silo_node.approvals.hospital import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)

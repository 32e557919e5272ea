"""A ledger of an aggregator, for what copies and enters it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from privacy.ledger.store import Ledger
from tests.aggregator.members import Members


@pytest.fixture
def ledger(four: Members, tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.create(tmp_path / "ledger", four.hub.member.uri, four.hub.keys.identity) as made:
        yield made

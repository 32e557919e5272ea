"""Aggregators in the middle of a round, and an upload for one."""

from pathlib import Path

import pytest

from tests.aggregator.hub import Hub
from tests.aggregator.made_up_upload import MadeUpUpload
from tests.aggregator.members import Members
from tests.aggregator.serving.uploads.streams import LONG


@pytest.fixture
def hub(hub: Hub) -> Hub:
    """In the middle of a round: uploads are taken."""
    hub.set_up()
    return hub


@pytest.fixture
def long(tmp_path: Path, members: Members) -> Hub:
    """In the middle of a round whose uploads have five frames."""
    made = Hub(tmp_path / "long", members.with_length(LONG))
    made.set_up()
    return made


@pytest.fixture
def upload(hub: Hub) -> MadeUpUpload:
    return MadeUpUpload.random(hub, 1)

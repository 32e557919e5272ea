"""A full disk stops a silo before it begins a round, so that being started again every minute costs no budget."""

from types import SimpleNamespace

import pytest

from privacy.errors import StorageError
from silo_node.rounds import contribution
from tests.silo_node.direct import World


def test_no_round_is_begun_without_room_for_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        full.setattr(contribution, "shutil", SimpleNamespace(disk_usage=lambda path: SimpleNamespace(free=1)))
        for index in world.everyone:
            world.start(index)
        world.until_ended(*world.everyone)
    for index in world.everyone:
        ended = world.running[index]
        assert isinstance(ended.error, StorageError)
        assert ended.error.code == "storage.full"
        assert not world.entries(index, "round_opened")
        assert not world.entries(index, "reserved")
        ended.agent.ledger.close()
    for index in world.everyone:
        world.start(index)
    world.finish()
    assert all(world.entries(index, "closed") for index in world.everyone)

"""State directories of an aggregator amid its rounds, and aggregators over what a backup holds."""

from datetime import UTC, datetime
from pathlib import Path

from tests.aggregator.hub import Hub
from tests.aggregator.members import Members
from tests.aggregator.rounds.steps import agree

ALL = (1, 2, 3, 4)
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def amid(root: Path, members: Members) -> Hub:
    """An aggregator with one round that three of four closed and one amid its uploads."""
    hub = Hub(root, members)
    hub.upload_all(silos=ALL)
    hub.work()
    agree(hub, 1, ALL)
    for index in ALL[:3]:
        hub.close(index, 1)
    hub.upload_all(2, silos=(1, 2))
    return hub


def state_of(hub: Hub, folder: Path) -> Path:
    """The state directory of an aggregator, with what a backup leaves out."""
    (folder / "studies").mkdir(parents=True)
    (folder / "ledger").symlink_to(hub.root / "ledger")
    (folder / "studies" / "trial").symlink_to(hub.root / "study")
    (folder / "identity").mkdir()
    (folder / "identity" / "identity.key").write_bytes(b"secret")
    (folder / "cosigner.key").write_bytes(b"secret")
    (folder / "newest-roster-statement.json").write_text("{}")
    (folder / "renewals" / "pending").mkdir(parents=True)
    (folder / "renewals" / "pending" / "north.json").write_text("{}")
    return folder


def put_back(copy: Path, root: Path, members: Members) -> Hub:
    """An aggregator over what a backup holds."""
    root.mkdir()
    (copy / "ledger").rename(root / "ledger")
    (copy / "studies" / "trial").rename(root / "study")
    return Hub(root, members)

"""What the store acknowledged is there after a power cut at any instant, and no row names a frame that is not."""

import sqlite3
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.storage import database
from aggregator.storage.store import DATABASE, StudyStore
from tests import power, stored
from tests.aggregator.storage.operations import OPERATIONS, act

Content = dict[str, bytes | str]

HISTORY: list[tuple[Any, ...]] = [
    ("put", 1, "sign-1", b"first"),
    ("sets", 1, {"shared": (1, 2, 3)}),
    ("upload", 1, 1, b"one"),
    ("upload", 1, 2, b"two"),
    ("header", 1, 3),
    ("arrive", 1, 3, b"three"),
    ("clear", 1),
    ("sum", 1, 0, b"four"),
    ("put", 1, "close-1", b"another"),
    ("sum", 1, 0, b"five"),
    ("sum", 1, 1, b"three"),
    ("put", 1, "survivors", b"second"),
    ("drop", 1, "sign-1"),
    ("put", 1, "survivors", b"third"),
    ("scrub", 1),
]
UNSYNCED = ("arrive", "sum")
"""What a power cut may take back: the next that is acknowledged makes it durable, too."""


class Syncing:
    """Commits as SQLite does: with `synchronous` FULL the log is on the disk when one ends, and else it is not.

    Attributes:
        states: what was stored when it was last acknowledged, and after each commit since.
    """

    def __init__(self, study: Path, disk: power.Disk) -> None:
        self._study, self._disk, self._commit = study, disk, database.commit
        self.states: list[Content] = [{}]

    def commit(self, connection: sqlite3.Connection) -> None:
        (level,) = connection.execute("PRAGMA synchronous").fetchone()
        self._commit(connection)
        self.states.append(stored.content(self._study))
        if level >= 2:  # FULL
            self._disk.sync(self._study, *self._study.glob(f"{DATABASE}*"))


def play(operations: list[tuple[Any, ...]], at: int, reached: power.Reached) -> int:
    """Play operations up to the cut, and look at what a start finds; gives the syncs that were."""
    with tempfile.TemporaryDirectory(dir=power.MEMORY) as folder, pytest.MonkeyPatch.context() as patch:
        root, survived = Path(folder) / "root", Path(folder) / "survived"
        root.mkdir()
        with power.cut(root, survived, at, reached) as disk:
            syncing = Syncing(root / "study", disk)
            patch.setattr(database, "commit", syncing.commit)
            store = StudyStore(root / "study")
            for operation in operations:
                before = len(syncing.states)
                act(store, *operation)
                if operation[0] not in UNSYNCED and len(syncing.states) > before:
                    del syncing.states[:-1]  # nothing of it may be lost from now on
        patch.undo()
        again = StudyStore(survived / "study")
        again.clear_torn()
        assert stored.content(survived / "study") in syncing.states
        again.close()
        return disk.syncs


@pytest.mark.parametrize("reached", power.EXTREMES.values(), ids=power.EXTREMES)
def test_what_was_acknowledged_is_there_at_every_instant_of_a_history(reached: power.Reached) -> None:
    assert power.at_every_instant(lambda at: play(HISTORY, at, reached)) > 2 * len(HISTORY)


@settings(max_examples=20)
@given(operations=st.lists(OPERATIONS, min_size=1, max_size=12), at=st.integers(0, 50), random=st.randoms())
def test_what_was_acknowledged_is_there_whatever_else_reached_the_disk(
    operations: list[tuple[Any, ...]], at: int, random: Random
) -> None:
    play(operations, at, lambda _: random.random() < 0.5)

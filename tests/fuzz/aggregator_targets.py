"""What an aggregator keeps of its studies, in a database of its own or in a backup of it."""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path

from aggregator.storage.backup import MANIFEST, back_up, check
from aggregator.storage.store import StudyStore
from privacy.channel.envelope import Signed
from tests.fuzz.disk_targets import REFUSES, a_ledger
from tests.fuzz.files import file_of, in_file
from tests.fuzz.target import Target


def database(path: Path) -> object:
    """An aggregator's study: opened, and asked for all that a start asks."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "study.sqlite").write_bytes(path.read_bytes())
        with closing(StudyStore(Path(folder))) as store:
            found = store.round(1)
            return store.last_round(), found.get_set("u1"), list(found.all("sign")), list(found.uploads())


def a_database(folder: Path) -> None:
    """A study of one message and one frozen set, in one file."""
    with closing(StudyStore(folder)) as store:
        store.round(1).put("sign-1", Signed("sign", b"body", "north", bytes(64)))
        store.round(1).keep_sets({"u1": (1, 2, 3)})
    with closing(sqlite3.connect(folder / "study.sqlite")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA journal_mode = DELETE")


@cache
def a_backup() -> dict[str, bytes]:
    """The files of a backup of such a study."""
    with tempfile.TemporaryDirectory() as folder:
        state, copy = Path(folder) / "state", Path(folder) / "copy"
        (state / "studies/trial").mkdir(parents=True)
        a_database(state / "studies/trial")
        (state / "ledger").mkdir()
        for name, content in a_ledger().items():
            (state / "ledger" / name).write_bytes(content)
        back_up(state, copy, datetime(2026, 3, 1, tzinfo=UTC))
        return {str(path.relative_to(copy)): path.read_bytes() for path in copy.rglob("*") if path.is_file()}


def backed_up(name: str, data: bytes) -> object:
    """A backup in which a file has these bytes."""
    with tempfile.TemporaryDirectory() as folder:
        for place, content in {**a_backup(), name: data}.items():
            path = Path(folder) / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return check(Path(folder))


def of_backup(name: str) -> Callable[[], Iterator[bytes]]:
    """A file of one."""
    return lambda: iter([a_backup()[name]])


TARGETS = (
    Target(
        "study-database",
        partial(in_file, database, "x"),
        REFUSES,
        file_of("study.sqlite", a_database),
        65536,
    ),
    *(
        Target(f"backup-{kind}", partial(backed_up, name), REFUSES, of_backup(name), 65536)
        for kind, name in (("list", MANIFEST), ("database", "studies/trial/study.sqlite"))
    ),
)

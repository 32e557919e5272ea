"""The database under the store: what is committed stays, versions go forward only, and trouble has a name."""

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from aggregator.storage import database
from aggregator.storage.database import Database, Step
from aggregator.storage.schema import STEPS
from aggregator.storage.store import DATABASE, StudyStore
from privacy.channel.envelope import Signed
from privacy.errors import CorruptState, StorageError

MESSAGE = Signed("sign", b"body", "north", b"\1" * 64)
FIRST: Step = ("CREATE TABLE note (number INTEGER PRIMARY KEY, words TEXT NOT NULL) STRICT",)
SECOND: Step = ("ALTER TABLE note ADD COLUMN author TEXT", "UPDATE note SET author = 'nobody'")


class Killed(BaseException):
    pass


def add(to: Database, number: int, words: str = "hello") -> None:
    with to.writing() as transaction:
        transaction.execute("INSERT INTO note (number, words) VALUES (?, ?)", (number, words))


def numbers(of: Database) -> list[int]:
    return [number for (number,) in of.rows("SELECT number FROM note ORDER BY number")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.sqlite"


def test_it_is_durable_by_its_settings_and_private(path: Path) -> None:
    opened = Database(path, (FIRST,))
    add(opened, 1)
    settings = {name: opened.one(f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "foreign_keys")}
    with opened.writing(synced=False) as to:
        assert to.execute("PRAGMA synchronous").fetchone() == (1,)
    assert settings == {"journal_mode": ("wal",), "synchronous": (2,), "foreign_keys": (1,)}
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == [path.name, f"{path.name}-shm", f"{path.name}-wal"]
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)


def test_the_stores_tables_are_strict() -> None:
    statements = [statement for step in STEPS for statement in step if statement.startswith("CREATE TABLE")]
    assert statements
    assert all(statement.endswith(") STRICT") for statement in statements)


def test_a_later_version_is_reached_once_and_keeps_what_is_there(path: Path) -> None:
    with closing(Database(path, (FIRST,))) as opened:
        add(opened, 1)
    for _ in range(2):
        with closing(Database(path, (FIRST, SECOND))) as opened:
            assert opened.rows("SELECT number, words, author FROM note") == [(1, "hello", "nobody")]
            assert opened.one("PRAGMA user_version") == (2,)


def test_a_stop_amid_a_step_leaves_the_version_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Database(path, (FIRST,))) as opened:
        add(opened, 1)

    def killed(_: sqlite3.Connection) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(database, "commit", killed)
        Database(path, (FIRST, SECOND))
    with closing(Database(path, (FIRST,))) as opened:
        assert opened.rows("SELECT * FROM note") == [(1, "hello")]


def test_a_step_that_fails_is_undone_whole(path: Path) -> None:
    with closing(Database(path, (FIRST,))) as opened:
        add(opened, 1)
    with pytest.raises(StorageError):
        Database(path, (FIRST, (SECOND[0], "NO SQL")))
    with closing(Database(path, (FIRST,))) as opened:
        assert opened.rows("SELECT * FROM note") == [(1, "hello")]


def test_the_state_of_a_newer_version_is_refused_and_untouched(tmp_path: Path) -> None:
    StudyStore(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / DATABASE)) as newer:
        newer.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    before = (tmp_path / DATABASE).read_bytes()
    with pytest.raises(StorageError, match="use the version of Collegium that wrote it") as caught:
        StudyStore(tmp_path)
    assert caught.value.code == "storage.newer"
    assert (tmp_path / DATABASE).read_bytes() == before


def test_a_full_disk_is_told_and_costs_only_what_was_being_written(path: Path) -> None:
    opened = Database(path, (FIRST,))
    add(opened, 1)
    opened.rows("PRAGMA max_page_count = 3")
    with pytest.raises(StorageError) as caught:
        add(opened, 2, "x" * 100_000)
    assert caught.value.code == "storage.full"
    opened.rows("PRAGMA max_page_count = 1000")
    add(opened, 3)
    assert numbers(opened) == [1, 3]


@pytest.mark.parametrize("where", [0, 4096 + 3, 2 * 4096])
def test_a_damaged_file_is_refused_at_the_start(path: Path, where: int) -> None:
    with closing(Database(path, (FIRST, ("CREATE INDEX note_words ON note (words)",)))) as opened:
        for number in range(90):
            add(opened, number, f"words {number:050}")
    damaged = bytearray(path.read_bytes())
    damaged[where : where + 100] = bytes(100 - 1) + b"\xff"
    path.write_bytes(damaged)
    with pytest.raises(CorruptState) as caught:
        Database(path, (FIRST,))
    assert caught.value.code == "state.database"


def test_what_breaks_the_schema_is_our_own_defect_and_undone(path: Path) -> None:
    opened = Database(path, (FIRST,))
    add(opened, 1)
    with pytest.raises(RuntimeError), opened.writing() as to:
        to.execute("INSERT INTO note VALUES (2, 'two')")
        to.execute("INSERT INTO note VALUES (1, 'one')")
    assert numbers(opened) == [1]


def test_threads_write_one_after_the_other(path: Path) -> None:
    opened = Database(path, (FIRST,))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add(opened, number), range(40)))
    assert numbers(opened) == list(range(40))


def test_a_copy_of_the_folder_of_a_running_program_has_all_that_was_committed(tmp_path: Path) -> None:
    store = StudyStore(tmp_path / "study")
    store.round(1).put("sign-1", MESSAGE)
    assert (tmp_path / "study" / f"{DATABASE}-wal").stat().st_size > 0
    shutil.copytree(tmp_path / "study", tmp_path / "copy")
    store.round(1).put("sign-2", MESSAGE)
    assert list(StudyStore(tmp_path / "copy").round(1).all("sign")) == [(1, MESSAGE)]

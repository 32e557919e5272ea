"""One SQLite file: checked when opened, brought to the newest schema, written in transactions that last when they end.

WAL, foreign keys, an fsync a commit; private files. `PRAGMA user_version` is the number of migration steps that were
done. One connection under one lock serves all threads: rows are small, and writers would wait for each other anyhow.
What the tables mean is `aggregator.storage.schema`'s and `aggregator.storage.store`'s business.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from privacy.durable import create
from privacy.errors import CollegiumError, CorruptState, StorageError

Step = tuple[str, ...]
"""The statements that lead from one version of the schema to the next, in one transaction."""
Row = tuple[Any, ...]


def commit(connection: sqlite3.Connection) -> None:
    """End a transaction: it is on the disk when this returns. The only place where anything in a database becomes so.

    Raises:
        sqlite3.Error: the disk refused.
    """
    connection.execute("COMMIT")


class Database:
    """An open database. Thread-safe.

    Args:
        path: the file; made, with mode 0600, if it is not there.
        steps: all migration steps there ever were, oldest first; those that the file lacks are done now.

    Raises:
        CorruptState: the file is damaged or no database.
        StorageError: it was written by a newer version (`storage.newer`), or the disk refuses.
    """

    def __init__(self, path: Path, steps: Sequence[Step]) -> None:
        self._lock = threading.Lock()
        if not path.exists():
            create(path, b"")
        with typed():
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._begin(steps)
            except BaseException:
                self._connection.close()
                raise

    @contextmanager
    def writing(self, *, synced: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction, durable when this ends; an error in it undoes all of it.

        Args:
            synced: False where a power cut, unlike a kill, may take it back until the next synced one, which makes all
                before it durable too. It saves an fsync.

        Raises:
            StorageError: the disk refused.
            CorruptState: the file is damaged.
            RuntimeError: our own code broke a constraint of the schema.
        """
        with self._lock, typed():
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                commit(self._connection)
            except BaseException:
                # Where the disk fails so badly that SQLite ended the transaction itself, there is none to undo.
                with suppress(sqlite3.OperationalError):
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, *values: object) -> list[Row]:
        """All rows of a query. Raises as `writing`."""
        with self._lock, typed():
            return self._connection.execute(query, values).fetchall()

    def one(self, query: str, *values: object) -> Row | None:
        """The first row, or None. Raises as `writing`."""
        found = self.rows(query, *values)
        return found[0] if found else None

    def close(self) -> None:
        """Give the file back; not to be used afterwards."""
        with self._lock, typed():
            self._connection.close()

    def _begin(self, steps: Sequence[Step]) -> None:
        run = self._connection.execute
        run("PRAGMA trusted_schema = OFF")
        version = check(self._connection, steps)
        if run("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise StorageError("the state directory's file system takes no write-ahead log; use one on a local disk")
        run("PRAGMA foreign_keys = ON")
        for number in range(version, len(steps)):
            with self.writing() as transaction:
                for statement in steps[number]:
                    transaction.execute(statement)
                transaction.execute(f"PRAGMA user_version = {number + 1}")


def check(connection: sqlite3.Connection, steps: Sequence[Step]) -> int:
    """Look through the whole file; gives its version.

    Raises:
        CorruptState, or a sqlite3.Error that says so: it is damaged.
        StorageError: a newer version wrote it.
    """
    if connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
        raise damaged()
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(steps):
        raise StorageError(
            f"the study's database has version {version} and this program knows versions 1 to {len(steps)}; use the "
            "version of Collegium that wrote it, or a later one",
            code="storage.newer",
        )
    return version


@contextmanager
def typed() -> Iterator[None]:
    """SQLite's errors as the house's own."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise RuntimeError("what is stored would not fit together") from error
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.DatabaseError as error:
        raise _error(error) from error
    except UnicodeDecodeError as error:  # of a name or a text that quotes what is damaged
        raise damaged() from error


def _error(error: sqlite3.DatabaseError) -> CollegiumError:
    # The module's own errors have no code: what is stored is no UTF-8.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged()
    if code == sqlite3.SQLITE_FULL:
        return StorageError(
            "cannot write the study's database: no space left; nothing half-written was kept: free some space, then "
            "start again",
            code="storage.full",
        )
    return StorageError(
        f"the study's database cannot be used ({error.sqlite_errorname}); nothing was changed: check the disk, and "
        "that no other program holds the file"
    )


def damaged() -> CorruptState:
    """What a database that is not as it was written is told as."""
    return CorruptState(
        "the study's database is damaged; restore the state directory from a backup", code="state.database"
    )

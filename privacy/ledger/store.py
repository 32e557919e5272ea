"""The ledger on plain files: durable append and strict open.

A ledger is a folder: `version`, `origin.json` (whose it is), `entries.jsonl` (one canonical entry a line), `head.json`
(size and Merkle root, signed) and `details/` (the side store). An entry is acknowledged once `append` returns: then
entry, head and their names are on the disk. After a crash the entries may be ahead of the head by what was never
acknowledged; they are never behind it. One process writes at a time (a lock on
`entries.jsonl`). The module does not stop the holder of the key and of the disk from restoring an
older copy of the whole folder: that takes witnesses of the head.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from privacy import durable
from privacy.digest import Json
from privacy.errors import AlreadyRunning, CorruptState, IdentityError, StorageError
from privacy.ledger import disk, files, readings
from privacy.ledger.details import SideStore
from privacy.ledger.entry import DETAILS, Entry, make
from privacy.ledger.files import ENTRIES, HEAD, ORIGIN, missing
from privacy.ledger.reader import Reading, VerifiedLedger, read
from privacy.ledger.tree import Frontier, leaf_hash
from privacy.signer import Signer

__all__ = ["Ledger", "VerifiedLedger", "read", "utc_now"]


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)


class Ledger:
    """The writer of a ledger. Use `create` or `open`, and `close` (or `with`)."""

    def __init__(
        self,
        directory: Path,
        handle: int,
        state: Reading,
        entries: list[Entry],
        key: Signer,
        clock: Callable[[], datetime],
    ) -> None:
        self._directory = directory
        self._handle = handle
        self._key = key
        self._clock = clock
        self._origin = state.origin
        self._entries = entries
        self._tree = state.tree
        self._length = state.length
        self._cut_is_due = False
        self._appending = threading.RLock()
        self._found = len(entries)
        self._listener: Callable[[Entry], None] = lambda entry: None
        self.details = SideStore(directory)

    @classmethod
    def create(cls, directory: Path, origin: str, key: Signer, clock: Callable[[], datetime] = utc_now) -> "Ledger":
        """Make an empty ledger in a new or empty folder.

        Args:
            directory: the ledger's folder, made with mode 0700.
            origin: SPIFFE ID of the writing party.
            key: its identity key.
            clock: gives the time of each entry.

        Raises:
            CorruptState: a ledger, or part of one, is already there.
            StorageError: the disk refuses.
        """
        durable.make_folder(directory)
        if _present(directory):
            raise CorruptState(
                "there is a ledger here already, and a ledger is never replaced; use another state directory",
                code="ledger.exists",
            )
        public = key.public_key().public_bytes_raw()
        durable.write(directory / ENTRIES, b"")
        durable.write(directory / HEAD, files.head_bytes(origin, 0, Frontier().root(), key))
        files.write_version(directory)
        # origin.json comes last: a folder without it is no ledger yet.
        files.write_origin(directory, origin, public)
        return cls.open(directory, key, clock)

    @classmethod
    def open(cls, directory: Path, key: Signer, clock: Callable[[], datetime] = utc_now) -> "Ledger":
        """Verify a ledger and open it for writing.

        A last line that was torn by a crash, and so never acknowledged, is cut and recorded as an
        `incident` entry. A ledger of an earlier layout is brought to the present one.

        Raises:
            AlreadyRunning: another process writes it.
            CorruptState: anything acknowledged was changed, removed or reordered, or signed by another.
            IdentityError: `key` is not the ledger's.
            StorageError: the disk refuses.
        """
        for name in (ORIGIN, ENTRIES):
            if not (directory / name).exists():
                raise missing(name)
        handle = disk.open_for_append(directory / ENTRIES)
        try:
            _lock(handle)
            files.migrate(directory)
            state = Reading(directory)
            entries = list(state)
            if state.key != key.public_key().public_bytes_raw():
                raise IdentityError(
                    "this ledger was written with another identity key; restore the identity that belongs to it",
                    code="ledger.foreign_key",
                )
        except BaseException:
            durable.release(handle)
            raise
        ledger = cls(directory, handle, state, entries, key, clock)
        try:
            ledger._mend(state.acknowledged, state.torn_bytes)
        except BaseException:
            ledger.close()
            raise
        return ledger

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back. The ledger cannot be used afterwards."""
        if self._handle >= 0:
            durable.release(self._handle)
            self._handle = -1

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, oldest first."""
        return tuple(self._entries)

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._directory

    @property
    def origin(self) -> str:
        """SPIFFE ID of the writing party."""
        return self._origin

    def head(self) -> tuple[int, bytes]:
        """Number of entries and Merkle root over them (32 bytes)."""
        return self._tree.size, self._tree.root()

    def append(self, kind: str, body: Mapping[str, Json], details: Mapping[str, Json] | None = None) -> Entry:
        """Sign an entry and make it durable; it is acknowledged when this returns. Threads may append at the same time.

        Args:
            kind: one of `KINDS`.
            body: what the ledger says for good.
            details: what it says until they are erased; the body gets a commitment to them.

        Raises:
            IdentityError: the key is in a token that is gone or refuses. The entry does not exist.
            StorageError: the disk is full or failing. The entry does not exist: the file was cut back to
                the last whole entry, or will be before the next append. Only where the disk failed at the very
                last step, the folder, does the entry stand, unacknowledged as after a crash.
            ValueError: unknown kind or unfit body.
            RuntimeError: the ledger was closed.
        """
        if self._handle < 0:
            raise RuntimeError("the ledger is closed")
        if details is None:
            return self._append(kind, body)
        name = self.details.put(details)
        # Details without an entry, where this fails, are removed at the next open.
        return self._append(kind, {**body, DETAILS: name})

    def listen(self, listener: Callable[[Entry], None]) -> None:
        """Tell `listener` of each entry since the opening, and from now on of each once it is acknowledged."""
        with self._appending:
            for entry in self._entries[self._found :]:
                listener(entry)
            self._listener = listener

    def erase_details(self, sequence: int, reason: str, by: str) -> Entry:
        """Erase the details of an entry; that is an entry itself, written first.

        Raises:
            ValueError: there is no such entry, or it never had details.
            StorageError: the disk refuses. Once the entry is written, the next open ends what was begun.
            RuntimeError: the ledger was closed.
        """
        name = self._entries[sequence].body.get(DETAILS) if 0 <= sequence < len(self._entries) else None
        if not isinstance(name, str):
            raise ValueError("there is no entry with details of this number")
        entry = self.append("details_erased", {"entry": sequence, "reason": reason, "by": by})
        self.details.erase(name)
        return entry

    def _append(self, kind: str, body: Mapping[str, Json]) -> Entry:
        with self._appending:
            entry = self._append_next(kind, body)
            self._listener(entry)
            return entry

    def _append_next(self, kind: str, body: Mapping[str, Json]) -> Entry:
        entry = make(self._tree.size, self._clock(), kind, body, self._tree.root(), self._origin, self._key)
        line = entry.line()
        grown = self._tree.copy()
        grown.append(leaf_hash(line))
        head = self._head_of(grown)  # all is signed before anything is written: the key's token may be gone
        try:
            if self._cut_is_due:
                self._cut()
            self._cut_is_due = True
            disk.append(self._handle, line + b"\n")
            disk.replace(self._directory / HEAD, head)
        except StorageError:
            self._undo()
            raise
        except BaseException:
            # Interrupted between entry and head: what is on the disk is in order, what is in memory may not be.
            self.close()
            raise
        self._cut_is_due = False
        self._tree = grown
        self._length += len(line) + 1
        self._entries.append(entry)
        disk.settle(self._directory)
        return entry

    def _mend(self, acknowledged: int, torn: int) -> None:
        """Bring entries, head and side store together again after a crash."""
        if torn:
            self._cut()
            detail = f"a torn last line of {torn} bytes, never acknowledged, was cut"
            self.append("incident", {"code": "ledger.torn_write", "detail": detail})
        elif acknowledged < self._tree.size:
            disk.replace(self._directory / HEAD, self._head_of(self._tree))
            disk.settle(self._directory)
        for name in self.details.names() - details_kept(self._entries):
            self.details.erase(name)
        self._enter_readings()

    def _enter_readings(self) -> None:
        """Make entries of the readings that were noted while another process wrote; twice rather than not at all."""
        for name in readings.names(self._directory):
            try:
                time, what, by = readings.get(self._directory, name)
                self.append("log_read", {"what": f"{what}, at {time} while the ledger was being written", "by": by})
            except CorruptState as error:
                self.append("incident", {"code": error.code, "detail": str(error)})
            readings.remove(self._directory, name)

    def _head_of(self, tree: Frontier) -> bytes:
        return files.head_bytes(self._origin, tree.size, tree.root(), self._key)

    def _cut(self) -> None:
        disk.cut(self._handle, self._length)
        self._cut_is_due = False

    def _undo(self) -> None:
        try:
            self._cut()
        except StorageError:
            # The disk refuses even that. The next append, or the next open, cuts first.
            self._cut_is_due = True


def details_kept(entries: Iterable[Entry]) -> frozenset[str]:
    """Commitments whose details should be there: those of all entries but the ones that were erased."""
    entries = tuple(entries)
    erased = {entry.body["entry"] for entry in entries if entry.kind == "details_erased"}
    return frozenset(
        str(entry.body[DETAILS]) for entry in entries if DETAILS in entry.body and entry.sequence not in erased
    )


def _present(directory: Path) -> bool:
    """Whether a ledger is here; what an interrupted `create` left is none."""
    entries = directory / ENTRIES
    return (directory / ORIGIN).exists() or (entries.exists() and entries.stat().st_size > 0)


def _lock(handle: int) -> None:
    try:
        durable.hold(handle)
    except BlockingIOError as error:
        raise AlreadyRunning(
            "another process writes this ledger; stop it before starting a second one", code="ledger.locked"
        ) from error

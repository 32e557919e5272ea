"""The ledger on plain files: durable append and strict open.

A ledger is a folder of three files: `origin.json` (whose it is), `entries.jsonl` (one canonical
entry a line) and `head.json` (size and Merkle root, signed). An entry is acknowledged once `append`
returns: then entry and head are on the disk. After a crash the entries may be ahead of the head by
what was never acknowledged; they are never behind it. One process writes at a time (a lock on
`entries.jsonl`). The module does not stop the holder of the key and of the disk from restoring an
older copy of the whole folder: that takes witnesses of the head.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy import durable
from privacy.digest import Json, canonical_json
from privacy.errors import AlreadyRunning, CorruptState, IdentityError, StorageError
from privacy.ledger import disk
from privacy.ledger.entry import Entry, make
from privacy.ledger.reader import (
    ENTRIES,
    FORMAT,
    HEAD,
    ORIGIN,
    VerifiedLedger,
    head_message,
    missing,
    read,
    read_origin,
)
from privacy.ledger.tree import Frontier, leaf_hash

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
        state: VerifiedLedger,
        key: Ed25519PrivateKey,
        clock: Callable[[], datetime],
    ) -> None:
        self._directory = directory
        self._handle = handle
        self._key = key
        self._clock = clock
        self._origin = state.origin
        self._entries = list(state.entries)
        self._tree = Frontier()
        self._length = 0
        for entry in state.entries:
            self._grow(entry.line())
        self._cut_is_due = False

    @classmethod
    def create(
        cls, directory: Path, origin: str, key: Ed25519PrivateKey, clock: Callable[[], datetime] = utc_now
    ) -> "Ledger":
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
        # origin.json comes last: a folder without it is no ledger yet.
        named: dict[str, Json] = {"format": FORMAT, "origin": origin, "key": public.hex()}
        durable.write(directory / ENTRIES, b"")
        durable.write(directory / HEAD, _head(origin, 0, Frontier().root(), key))
        durable.write(directory / ORIGIN, canonical_json(named) + b"\n")
        return cls.open(directory, key, clock)

    @classmethod
    def open(cls, directory: Path, key: Ed25519PrivateKey, clock: Callable[[], datetime] = utc_now) -> "Ledger":
        """Verify a ledger and open it for writing.

        A last line that was torn by a crash, and so never acknowledged, is cut and recorded as an
        `incident` entry.

        Raises:
            AlreadyRunning: another process writes it.
            CorruptState: anything acknowledged was changed, removed or reordered, or signed by another.
            IdentityError: `key` is not the ledger's.
            StorageError: the disk refuses.
        """
        read_origin(directory)
        if not (directory / ENTRIES).exists():
            raise missing(ENTRIES)
        handle = disk.open_for_append(directory / ENTRIES)
        try:
            _lock(handle)
            state = read(directory)
            if state.key != key.public_key().public_bytes_raw():
                raise IdentityError(
                    "this ledger was written with another identity key; restore the identity that belongs to it",
                    code="ledger.foreign_key",
                )
        except BaseException:
            durable.release(handle)
            raise
        ledger = cls(directory, handle, state, key, clock)
        try:
            ledger._mend(state)
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
    def origin(self) -> str:
        """SPIFFE ID of the writing party."""
        return self._origin

    def head(self) -> tuple[int, bytes]:
        """Number of entries and Merkle root over them (32 bytes)."""
        return self._tree.size, self._tree.root()

    def append(self, kind: str, body: Mapping[str, Json]) -> Entry:
        """Sign an entry and make it durable; it is acknowledged when this returns.

        Raises:
            StorageError: the disk is full or failing. The entry does not exist: the file was cut back to
                the last whole entry, or will be before the next append.
            ValueError: unknown kind or unfit body.
            RuntimeError: the ledger was closed.
        """
        if self._handle < 0:
            raise RuntimeError("the ledger is closed")
        entry = make(self._tree.size, self._clock(), kind, body, self._tree.root(), self._origin, self._key)
        line = entry.line()
        grown = self._tree.copy()
        grown.append(leaf_hash(line))
        try:
            if self._cut_is_due:
                self._cut()
            self._cut_is_due = True
            disk.append(self._handle, line + b"\n")
            self._write_head(grown)
        except StorageError:
            self._undo()
            raise
        except BaseException:
            # Interrupted between entry and head: what is on the disk is in order, what is in memory may not be.
            self.close()
            raise
        self._cut_is_due = False
        self._grow(line)
        self._entries.append(entry)
        return entry

    def _mend(self, state: VerifiedLedger) -> None:
        """Bring entries and head together again after a crash."""
        if state.torn_bytes:
            self._cut()
            detail = f"a torn last line of {state.torn_bytes} bytes, never acknowledged, was cut"
            self.append("incident", {"code": "ledger.torn_write", "detail": detail})
        elif state.acknowledged < state.size:
            self._write_head(self._tree)

    def _grow(self, line: bytes) -> None:
        self._tree.append(leaf_hash(line))
        self._length += len(line) + 1

    def _write_head(self, tree: Frontier) -> None:
        # The rename is not followed by a sync of the folder: an older head after a power cut is in order.
        disk.replace(self._directory / HEAD, _head(self._origin, tree.size, tree.root(), self._key))

    def _cut(self) -> None:
        disk.cut(self._handle, self._length)
        self._cut_is_due = False

    def _undo(self) -> None:
        try:
            self._cut()
        except StorageError:
            # The disk refuses even that. The next append, or the next open, cuts first.
            self._cut_is_due = True


def _present(directory: Path) -> bool:
    """Whether a ledger is here; what an interrupted `create` left is none."""
    entries = directory / ENTRIES
    return (directory / ORIGIN).exists() or (entries.exists() and entries.stat().st_size > 0)


def _head(origin: str, size: int, root: bytes, key: Ed25519PrivateKey) -> bytes:
    signature = key.sign(head_message(origin, size, root.hex()))
    return canonical_json({"size": size, "root": root.hex(), "signature": signature.hex()}) + b"\n"


def _lock(handle: int) -> None:
    try:
        durable.hold(handle)
    except BlockingIOError as error:
        raise AlreadyRunning(
            "another process writes this ledger; stop it before starting a second one", code="ledger.locked"
        ) from error

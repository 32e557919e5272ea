"""Reading a ledger from its files and verifying all of it; changes nothing and works beside a writer.

Finds any changed, removed, added or reordered acknowledged entry, a foreign signature and a damaged
head, and names the entry. It does not know whether the key in `origin.json` is really that party's
(the signed study pins it), nor whether the whole folder is an older copy (that takes witnesses).

The signed head vouches for every entry that it covers, signature bytes and all: whoever could forge one entry
unnoticed could forge the head. So a reader who only wants the facts that a party stands by need not check each
signature and each root (`facts_only`, several times as fast). They make an entry evidence without its ledger.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privacy import regular
from privacy.errors import CorruptState
from privacy.ledger.entry import MAX_LINE, Entry
from privacy.ledger.files import ENTRIES, HEAD, ORIGIN, missing, read_head, read_origin, unreadable
from privacy.ledger.line import Bodies, Form, signed_bytes, split
from privacy.ledger.signatures import Checker
from privacy.ledger.tree import EMPTY_ROOT, Frontier, leaf_hash

__all__ = ["ENTRIES", "HEAD", "ORIGIN", "Reading", "VerifiedLedger", "read", "read_origin"]

_READ = MAX_LINE + 8192
"""Longest piece that is taken for one line; a torn one may have been filled up to a block of the disk."""
_BUFFER = 1 << 20


@dataclass(frozen=True)
class VerifiedLedger:
    """A ledger as read and verified; nothing of it can be changed.

    Attributes:
        origin: SPIFFE ID of the party that wrote it.
        key: its Ed25519 public key, 32 bytes. That this is the party's key is the caller's to check
            (the signed study pins it).
        entries: all whole entries, oldest first.
        size: number of entries.
        root: Merkle root over them, 32 bytes.
        acknowledged: entries that the signed head covers; one more is normal while the writer works.
        torn_bytes: bytes of an unfinished last line that was never acknowledged.
    """

    origin: str
    key: bytes
    entries: tuple[Entry, ...]
    size: int
    root: bytes
    acknowledged: int
    torn_bytes: int


def read(directory: Path, *, facts_only: bool = False, bodies: Bodies | None = None) -> VerifiedLedger:
    """Read a ledger and verify all of it: signatures, numbers, the root before each entry, and the head.

    Changes nothing; works beside a writer.

    Args:
        directory: the ledger's folder.
        facts_only: rely on the head's signature for what it covers, see above, and leave `previous` and `signature` of
            the entries empty, which spares half of the memory.
        bodies: shared by the ledgers of one consortium, it saves time and memory: their bodies are much alike.

    Raises:
        CorruptState: what was acknowledged is not all there as written; the message names the entry.
        StorageError: the disk refuses.
    """
    reading = Reading(directory, facts_only=facts_only, bodies=bodies)
    entries = tuple(_bare(entry) for entry in reading) if facts_only else tuple(reading)
    return VerifiedLedger(
        reading.origin,
        reading.key,
        entries,
        reading.tree.size,
        reading.tree.root(),
        reading.acknowledged,
        reading.torn_bytes,
    )


def root_at(directory: Path, size: int) -> bytes:
    """The Merkle root of a ledger when it had `size` entries, 32 bytes.

    Raises:
        CorruptState, StorageError: as for `read`.
        ValueError: it never had so many.
    """
    reading, root = Reading(directory, facts_only=True), None
    for _ in reading:
        root = reading.tree.root() if reading.tree.size == size else root
    if root is None and size:
        raise ValueError("the ledger never had so many entries")
    return root or EMPTY_ROOT


class Reading:
    """One pass over a ledger that verifies as it goes, in memory that does not grow with the ledger.

    Iterating gives the entries, oldest first. They are verified only once the iteration has ended without
    an error; then the attributes hold.

    Args:
        directory, facts_only, bodies: as for `read`; entries are given whole.

    Attributes:
        origin, key, acknowledged, torn_bytes: as in `VerifiedLedger`.
        tree: over the entries given so far.
        length: bytes of the entries given so far.
        leaf: hash (32 bytes) of the entry given last.

    Raises:
        CorruptState, StorageError: as `read`, when made and while iterating.
    """

    def __init__(self, directory: Path, *, facts_only: bool = False, bodies: Bodies | None = None) -> None:
        self._directory = directory
        self._every = not facts_only
        self._bodies = bodies or Bodies()
        self.origin, self.key = read_origin(directory)
        self._key = Ed25519PublicKey.from_public_bytes(self.key)
        # The head is read first: entries that a writer adds meanwhile are then only ahead of it.
        self.acknowledged, self._root = read_head(directory, self.origin, self._key)
        self.tree, self.length, self.torn_bytes = Frontier(), 0, 0
        self.leaf = b""

    def __iter__(self) -> Iterator[Entry]:
        self.tree, self.length, self.torn_bytes = Frontier(), 0, 0
        try:
            yield from self._verified()
        except CorruptState:
            if not self._every:
                # Only the signatures tell which entry it is; so look again.
                for _ in Reading(self._directory):
                    pass
            raise

    def _verified(self) -> Iterator[Entry]:
        origin = json.dumps(self.origin, ensure_ascii=False).encode()
        with Checker(self._key) as checker:
            try:
                if self.acknowledged == 0:
                    self._check_head()
                for entry, form in self._lines():
                    if self._every or entry.sequence >= self.acknowledged:
                        checker.add((entry.sequence, bytes.fromhex(entry.signature), signed_bytes(form, origin)))
                        self._check_history(entry)
                    self.leaf = leaf_hash(form.string)
                    self.tree.append(self.leaf)
                    self.length += len(form.string) + 1
                    if self.tree.size == self.acknowledged:
                        self._check_head()
                    yield entry
                if self.tree.size < self.acknowledged:
                    raise CorruptState(
                        f"the ledger of {self.origin} holds {self.tree.size} entries but its signed head covers "
                        f"{self.acknowledged}: entries were removed; restore the ledger from a backup",
                        code="ledger.removed",
                    )
            except CorruptState:
                # An entry that fails its signature is where the damage is; what it led to comes after it.
                checker.settle()
                raise
            checker.settle()

    def _check_history(self, entry: Entry) -> None:
        if entry.previous != self.tree.root().hex():
            raise CorruptState(
                f"ledger entry {entry.sequence} was written after another history than the one stored here",
                code="ledger.history",
            )

    def _check_head(self) -> None:
        if self.tree.root() != self._root:
            raise CorruptState(
                f"the entries of the ledger of {self.origin} are not those that its signed head covers; "
                "restore the ledger from a backup",
                code="ledger.head",
            )

    def _lines(self) -> Iterator[tuple[Entry, Form]]:
        try:
            with regular.opened(self._directory / ENTRIES, _BUFFER) as file:
                yield from self._split(file)
        except FileNotFoundError as error:
            raise missing(ENTRIES) from error
        except OSError as error:
            raise unreadable(ENTRIES, error) from error

    def _split(self, file: BinaryIO) -> Iterator[tuple[Entry, Form]]:
        """Whole lines; what is torn and was never acknowledged is only counted."""
        sequence, piece = 0, file.readline(_READ)
        while piece:
            following = file.readline(_READ)
            line = piece.removesuffix(b"\n")
            if not following and len(line) == len(piece):
                self.torn_bytes = len(piece)
                return
            try:
                found = split(line, sequence, self._bodies)
            except CorruptState:
                # A power cut can leave a line whose length is right and whose bytes are not.
                if not following and sequence >= self.acknowledged:
                    self.torn_bytes = len(piece)
                    return
                raise
            yield found
            sequence, piece = sequence + 1, following


def _bare(entry: Entry) -> Entry:
    # A second person's signature is over the history before the entry: `privacy.ledger.budgets.caps`.
    if entry.kind == "budget_set":
        return entry
    return Entry(entry.sequence, entry.time, entry.kind, entry.body, "", "")

"""Reading a ledger from its files and verifying all of it; changes nothing and works beside a writer.

Finds any changed, removed, added or reordered acknowledged entry, a foreign signature and a damaged
head, and names the entry. It does not know whether the key in `origin.json` is really that party's
(the signed study pins it), nor whether the whole folder is an older copy (that takes witnesses).

The signed head vouches for every entry that it covers, signature bytes and all: whoever could forge one entry
unnoticed could forge the head. So a reader who only wants to know that a party stands by these entries need not check
each signature (`every_signature=False`, about eight times as fast). Each signature makes its entry evidence by itself.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privacy.errors import CorruptState
from privacy.ledger.entry import MAX_LINE, Entry
from privacy.ledger.files import ENTRIES, HEAD, ORIGIN, missing, read_head, read_origin, unreadable
from privacy.ledger.line import Bodies, Parsed, split
from privacy.ledger.signatures import Checker
from privacy.ledger.tree import Frontier, leaf_hash

__all__ = ["ENTRIES", "HEAD", "ORIGIN", "Reading", "VerifiedLedger", "read", "read_origin"]

_READ = MAX_LINE + 8192
"""Longest piece that is taken for one line; a torn one may have been filled up to a block of the disk."""


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


def read(directory: Path, *, every_signature: bool = True, bodies: Bodies | None = None) -> VerifiedLedger:
    """Read a ledger and verify all of it: signatures, numbers, the root before each entry, and the head.

    Changes nothing; works beside a writer.

    Args:
        directory: the ledger's folder.
        every_signature: False relies on the head's signature for what it covers, see above.
        bodies: shared by the ledgers of one consortium, it saves time and memory: their bodies are much alike.

    Raises:
        CorruptState: what was acknowledged is not all there as written; the message names the entry.
        StorageError: the disk refuses.
    """
    reading = Reading(directory, every_signature=every_signature, bodies=bodies)
    return reading.result(tuple(reading))


class Reading:
    """One pass over a ledger that verifies as it goes, in memory that does not grow with the ledger.

    Iterating gives the entries, oldest first. They are verified only once the iteration has ended without
    an error; then the attributes hold.

    Args:
        directory, every_signature, bodies: as for `read`.

    Attributes:
        origin, key, acknowledged, torn_bytes: as in `VerifiedLedger`.
        tree: over the entries given so far.
        length: bytes of the entries given so far.

    Raises:
        CorruptState, StorageError: as `read`, when made and while iterating.
    """

    def __init__(self, directory: Path, *, every_signature: bool = True, bodies: Bodies | None = None) -> None:
        self._directory = directory
        self._every = every_signature
        self._bodies = bodies or Bodies()
        self.origin, self.key = read_origin(directory)
        self._key = Ed25519PublicKey.from_public_bytes(self.key)
        # The head is read first: entries that a writer adds meanwhile are then only ahead of it.
        self.acknowledged, self._root = read_head(directory, self.origin, self._key)
        self.tree, self.length, self.torn_bytes = Frontier(), 0, 0

    def result(self, entries: tuple[Entry, ...]) -> VerifiedLedger:
        """What was verified, after the iteration that gave `entries`."""
        return VerifiedLedger(
            self.origin, self.key, entries, self.tree.size, self.tree.root(), self.acknowledged, self.torn_bytes
        )

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
                for parsed, line in self._lines():
                    entry = parsed.entry
                    if self._every or entry.sequence >= self.acknowledged:
                        checker.add((entry.sequence, bytes.fromhex(entry.signature), parsed.signed_bytes(origin)))
                    if entry.previous != self.tree.root().hex():
                        raise CorruptState(
                            f"ledger entry {entry.sequence} was written after another history than the one stored here",
                            code="ledger.history",
                        )
                    self.tree.append(leaf_hash(line))
                    self.length += len(line) + 1
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

    def _check_head(self) -> None:
        if self.tree.root() != self._root:
            raise CorruptState(
                f"the entries of the ledger of {self.origin} are not those that its signed head covers; "
                "restore the ledger from a backup",
                code="ledger.head",
            )

    def _lines(self) -> Iterator[tuple[Parsed, bytes]]:
        try:
            with (self._directory / ENTRIES).open("rb") as file:
                yield from self._split(file)
        except FileNotFoundError as error:
            raise missing(ENTRIES) from error
        except OSError as error:
            raise unreadable(ENTRIES, error) from error

    def _split(self, file: BinaryIO) -> Iterator[tuple[Parsed, bytes]]:
        """Whole lines; what is torn and was never acknowledged is only counted."""
        sequence, piece = 0, file.readline(_READ)
        while piece:
            following = file.readline(_READ)
            line = piece.removesuffix(b"\n")
            if not following and len(line) == len(piece):
                self.torn_bytes = len(piece)
                return
            try:
                parsed = split(line, sequence, self._bodies)
            except CorruptState:
                # A power cut can leave a line whose length is right and whose bytes are not.
                if not following and sequence >= self.acknowledged:
                    self.torn_bytes = len(piece)
                    return
                raise
            yield parsed, line
            sequence, piece = sequence + 1, following

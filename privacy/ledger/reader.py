"""Reading a ledger from its files and verifying all of it; changes nothing and works beside a writer.

Finds any changed, removed, added or reordered acknowledged entry, a foreign signature and a damaged
head, and names the entry. It does not know whether the key in `origin.json` is really that party's
(the signed study pins it), nor whether the whole folder is an older copy (that takes witnesses).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privacy.digest import Json, canonical_json
from privacy.errors import CorruptState, StorageError
from privacy.ledger.entry import Entry, parse
from privacy.ledger.tree import Frontier, leaf_hash

FORMAT = "collegium-ledger/1"
HEAD_CONTEXT = b"collegium/v1/ledger-head\x00"
ORIGIN, ENTRIES, HEAD = "origin.json", "entries.jsonl", "head.json"


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


def read(directory: Path) -> VerifiedLedger:
    """Read a ledger and verify all of it: signatures, numbers, the root before each entry, and the head.

    Changes nothing; works beside a writer.

    Raises:
        CorruptState: what was acknowledged is not all there as written; the message names the entry.
    """
    origin, public = read_origin(directory)
    key = Ed25519PublicKey.from_public_bytes(public)
    # The head is read first: entries that a writer adds meanwhile are then only ahead of it.
    head_size, head_root = _read_head(directory, origin, key)
    data = _bytes(directory / ENTRIES)
    whole, torn = _lines(data, head_size)
    tree = Frontier()
    root_at_head = tree.root()
    entries = []
    for entry, line in _verified(whole, origin, key, tree):
        entries.append(entry)
        tree.append(leaf_hash(line))
        if tree.size == head_size:
            root_at_head = tree.root()
    if tree.size < head_size:
        raise CorruptState(
            f"the ledger of {origin} holds {tree.size} entries but its signed head covers {head_size}: "
            "entries were removed; restore the ledger from a backup",
            code="ledger.removed",
        )
    if root_at_head != head_root:
        raise CorruptState(
            f"the entries of the ledger of {origin} are not those that its signed head covers; "
            "restore the ledger from a backup",
            code="ledger.head",
        )
    return VerifiedLedger(origin, public, tuple(entries), tree.size, tree.root(), head_size, torn)


def _verified(lines: list[bytes], origin: str, key: Ed25519PublicKey, tree: Frontier) -> Iterator[tuple[Entry, bytes]]:
    for sequence, line in enumerate(lines):
        entry = parse(line, sequence)
        entry.verify(origin, key)
        if entry.previous != tree.root().hex():
            raise CorruptState(
                f"ledger entry {sequence} was written after another history than the one stored here",
                code="ledger.history",
            )
        yield entry, line


def _lines(data: bytes, acknowledged: int) -> tuple[list[bytes], int]:
    """Whole lines, and the number of bytes of a torn, never acknowledged end."""
    *whole, rest = data.split(b"\n")
    torn = len(rest)
    # A power cut can leave a line whose length is right and whose bytes are not.
    if not torn and len(whole) > acknowledged and not _parses(whole[-1], len(whole) - 1):
        torn = len(whole.pop()) + 1
    return whole, torn


def _parses(line: bytes, sequence: int) -> bool:
    try:
        parse(line, sequence)
    except CorruptState:
        return False
    return True


def _read_head(directory: Path, origin: str, key: Ed25519PublicKey) -> tuple[int, bytes]:
    match _json(directory / HEAD):
        case {"size": int(size), "root": str(root), "signature": str(signature), **rest} if not rest:
            try:
                key.verify(_unhex(signature, 64), head_message(origin, size, root))
                return size, _unhex(root, 32)
            except (InvalidSignature, ValueError) as error:
                raise CorruptState(
                    f"the head of the ledger of {origin} was changed or signed by another party; "
                    "restore the ledger from a backup",
                    code="ledger.head",
                ) from error
    raise CorruptState(f"{HEAD} is damaged; restore the ledger from a backup", code="ledger.head")


def head_message(origin: str, size: int, root: str) -> bytes:
    """The bytes that the head's signature is over; `root` in hex."""
    return HEAD_CONTEXT + canonical_json({"origin": origin, "size": size, "root": root})


def read_origin(directory: Path) -> tuple[str, bytes]:
    """Whose ledger it is: SPIFFE ID and Ed25519 public key (32 bytes), not yet verified.

    Raises:
        CorruptState: there is no ledger, or its `origin.json` is damaged.
    """
    match _json(directory / ORIGIN):
        case {"format": str(written), "origin": str(origin), "key": str(key), **rest} if not rest and written == FORMAT:
            try:
                return origin, _unhex(key, 32)
            except ValueError as error:
                raise _damaged(ORIGIN) from error
    raise _damaged(ORIGIN)


def _json(path: Path) -> dict[str, Json]:
    """A file of one canonical JSON object and a newline; any other byte is damage."""
    data = _bytes(path)
    try:
        value = json.loads(data.decode("utf-8"))
        if not isinstance(value, dict) or canonical_json(value) + b"\n" != data:
            raise _damaged(path.name)
    except (UnicodeError, ValueError, RecursionError) as error:
        raise _damaged(path.name) from error
    return value


def _unhex(text: str, length: int) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != length or value.hex() != text:
        raise ValueError("not lower-case hex of the right length")
    return value


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise missing(path.name) from error
    except OSError as error:
        raise StorageError(f"{path.name} cannot be read ({error.strerror}); check the disk") from error


def _damaged(name: str) -> CorruptState:
    return CorruptState(
        f"{name} is damaged or of another version; restore the ledger from a backup", code="ledger.file"
    )


def missing(name: str) -> CorruptState:
    """The error for a ledger without one of its files."""
    return CorruptState(
        f"there is no complete ledger here: {name} is missing; restore it from a backup", code="ledger.missing"
    )

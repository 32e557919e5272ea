"""The small files of a ledger's folder (version, origin and head), each read strictly and written in one way.

`version` says which layout the folder has; `origin.json` whose ledger it is; `head.json` how many entries there are and
the Merkle root over them, signed. A folder of a later layout is refused, one of an earlier layout is brought forward
when it is opened for writing (`migrate`). Entries are none of this module's business.
"""

import json
import re
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privacy import durable, regular
from privacy.digest import Json, canonical_json
from privacy.errors import CollegiumError, CorruptState, StorageError
from privacy.signer import Signer

VERSION, ORIGIN, ENTRIES, HEAD = "version", "origin.json", "entries.jsonl", "head.json"
HEAD_CONTEXT = b"collegium/v1/ledger-head\x00"
LAYOUT = 2
"""1: without a version file and without a side store. 2: with both."""
_NAME = "collegium-ledger/{}"
_VERSION = re.compile(rb"collegium-ledger/([1-9][0-9]{0,8})\n")


def read_origin(directory: Path) -> tuple[str, bytes]:
    """Whose ledger it is: SPIFFE ID and Ed25519 public key (32 bytes), not yet verified.

    Raises:
        CorruptState: there is no ledger, it has a layout that is not known here, or a file is damaged.
        StorageError: the disk refuses.
    """
    return read_named(directory, layout(directory))


def read_named(directory: Path, number: int | None) -> tuple[str, bytes]:
    """As `read_origin`, of a folder whose layout is `number`, or None where that cannot be told.

    Raises:
        CorruptState: the file is missing or damaged.
        StorageError: the disk refuses.
    """
    formats = [_NAME.format(known) for known in ((1, LAYOUT) if number is None else (number,))]
    match _json(directory / ORIGIN):
        case {"format": str(written), "origin": str(origin), "key": str(key), **rest} if not rest:
            try:
                if written in formats:
                    return origin, unhex(key, 32)
            except ValueError as error:
                raise damaged(ORIGIN) from error
    raise damaged(ORIGIN)


def layout(directory: Path) -> int:
    """The layout of a ledger's folder.

    Raises:
        CorruptState: there is no ledger, its layout is not known here, or `version` is damaged.
        StorageError: the disk refuses.
    """
    if not (directory / VERSION).exists():
        named = _json(directory / ORIGIN)
        if named.get("format") == _NAME.format(1):
            return 1
        raise missing(VERSION)
    found = _VERSION.fullmatch(read_bytes(directory / VERSION))
    if found is None:
        raise damaged(VERSION)
    number = int(found[1])
    if number != LAYOUT:
        raise CorruptState(
            f"this ledger has layout {number} and this program knows layouts 1 to {LAYOUT}; use the version of "
            "Collegium that wrote it, or a later one",
            code="ledger.version",
        )
    return number


def write_version(directory: Path) -> None:
    """Say durably that the folder has the present layout.

    Raises:
        StorageError: the disk refuses.
    """
    durable.write(directory / VERSION, _NAME.format(LAYOUT).encode() + b"\n")


def write_origin(directory: Path, origin: str, key: bytes) -> None:
    """Say durably whose ledger it is.

    Raises:
        StorageError: the disk refuses.
    """
    named: dict[str, Json] = {"format": _NAME.format(LAYOUT), "origin": origin, "key": key.hex()}
    durable.write(directory / ORIGIN, canonical_json(named) + b"\n")


def migrate(directory: Path) -> None:
    """Bring a ledger of an earlier layout to the present one; may be stopped at any point and begun again.

    Entries and head stay as they are to the byte. The caller holds the lock.

    Raises:
        CorruptState: as `read_origin`.
        StorageError: the disk refuses.
    """
    if (directory / VERSION).exists():
        return
    named = _json(directory / ORIGIN)
    if named.get("format") == _NAME.format(1):
        # First what an older program refuses: from here on it does not write entries into a folder half migrated.
        write_origin(directory, *read_named(directory, 1))
    elif named.get("format") != _NAME.format(LAYOUT):
        raise damaged(ORIGIN)
    write_version(directory)


def head_bytes(origin: str, size: int, root: bytes, key: Signer) -> bytes:
    """A signed head, as it stands in its file."""
    signature = key.sign(_head_message(origin, size, root.hex()))
    return canonical_json({"size": size, "root": root.hex(), "signature": signature.hex()}) + b"\n"


def read_head(directory: Path, origin: str, key: Ed25519PublicKey) -> tuple[int, bytes]:
    """Number of entries and Merkle root (32 bytes) that the party signed last.

    Raises:
        CorruptState: the file is missing, damaged, or signed by another.
        StorageError: the disk refuses.
    """
    match _json(directory / HEAD):
        case {"size": int(size), "root": str(root), "signature": str(signature), **rest} if not rest:
            try:
                key.verify(unhex(signature, 64), _head_message(origin, size, root))
                return size, unhex(root, 32)
            except (InvalidSignature, ValueError) as error:
                raise CorruptState(
                    f"the head of the ledger of {origin} was changed or signed by another party; "
                    "restore the ledger from a backup",
                    code="ledger.head",
                ) from error
    raise damaged(HEAD)


def read_bytes(path: Path) -> bytes:
    """All of a file.

    Raises:
        CorruptState: it is missing, or no regular file.
        StorageError: it cannot be read.
    """
    try:
        return regular.read(path)
    except FileNotFoundError as error:
        raise missing(path.name) from error
    except OSError as error:
        raise unreadable(path.name, error) from error


def unhex(text: str, length: int) -> bytes:
    """The bytes of lower-case hex.

    Raises:
        ValueError: it is not that, or of another length.
    """
    value = bytes.fromhex(text)
    if len(value) != length or value.hex() != text:
        raise ValueError("not lower-case hex of the right length")
    return value


def damaged(name: str) -> CorruptState:
    """The error for a small file that is not as it was written."""
    return CorruptState(f"{name} is damaged; restore the ledger from a backup", code="ledger.file")


def missing(name: str) -> CorruptState:
    """The error for a ledger without one of its files."""
    return CorruptState(
        f"there is no complete ledger here: {name} is missing; restore it from a backup", code="ledger.missing"
    )


def unreadable(name: str, error: OSError) -> CollegiumError:
    """The error for a file that the system does not give, or that is none."""
    if isinstance(error, regular.NotRegularError):
        return CorruptState(
            f"{name} is no file of a ledger: {error.strerror}; take another copy of the ledger's folder",
            code="ledger.file",
        )
    return StorageError(f"{name} cannot be read ({error.strerror}); check the disk")


def _head_message(origin: str, size: int, root: str) -> bytes:
    return HEAD_CONTEXT + canonical_json({"origin": origin, "size": size, "root": root})


def _json(path: Path) -> dict[str, Json]:
    """A file of one canonical JSON object and a newline; any other byte is damage."""
    data = read_bytes(path)
    try:
        value = json.loads(data.decode("utf-8"))
        if not isinstance(value, dict) or canonical_json(value) + b"\n" != data:
            raise damaged(path.name)
    except (UnicodeError, ValueError, RecursionError) as error:
        raise damaged(path.name) from error
    return value

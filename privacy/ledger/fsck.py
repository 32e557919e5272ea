"""Examines a ledger's folder and says of everything that is wrong where it is; changes nothing.

`reader` stops at the first thing that is wrong. This goes on: it finds the entries again after damaged
bytes, and looks at each small file, the side store, the noted readings and the cosigned heads. Not knowing the party's
key from elsewhere, it trusts `origin.json` as far as the signatures bear it out. A single changed byte anywhere in the
folder is a finding that names the file and, among entries, their numbers and the bytes that they take; but for cosigned
heads of parties whose keys are not known, which are counted.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privacy.errors import CorruptState
from privacy.ledger import details, files, fsck_heads, readings
from privacy.ledger.details import SideStore
from privacy.ledger.entry import DETAILS, MAX_LINE, Entry
from privacy.ledger.heads.cosigned import Party
from privacy.ledger.line import Bodies, signed_bytes, split
from privacy.ledger.reader import Reading
from privacy.ledger.tree import Frontier, leaf_hash


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: in which file of the folder, where in it, and what."""

    file: str
    where: str
    what: str


@dataclass
class Examination:
    """What was found.

    Attributes:
        findings: what is wrong; empty when all is well.
        entries: whole and signed entries.
        acknowledged: entries that the head covers, or None where it is damaged.
        root: Merkle root over the entries, hex, or None where not all of them are whole.
        torn_bytes: an unfinished write that was never acknowledged; the next start cuts it.
        details_kept, details_erased: entries whose details are there, and whose details were erased.
        readings: noted readings that are not entries yet.
        heads, heads_unknown: files of cosigned heads that were checked, and those of parties whose key is not known.
    """

    findings: list[Finding] = field(default_factory=list)
    entries: int = 0
    acknowledged: int | None = None
    root: str | None = None
    torn_bytes: int = 0
    details_kept: int = 0
    details_erased: int = 0
    readings: int = 0
    heads: int = 0
    heads_unknown: int = 0


def examine(directory: Path, identity: tuple[str, bytes] | None = None, known: Iterable[Party] = ()) -> Examination:
    """Look at everything in a ledger's folder.

    Args:
        directory: the folder.
        identity: SPIFFE ID and public key of the party, where they are known from elsewhere.
        known: other parties, as signed studies pin them, whose cosignatures are checked.

    Raises:
        StorageError: the disk refuses.
    """
    seen = Examination()
    whose = _origin(directory, identity, seen)
    if whose is None:
        return seen
    referred = _Details()
    _entries(directory, whose, seen, referred)
    _side_store(directory, seen, referred)
    _readings(directory, seen)
    _heads(directory, Party(*whose), known, seen)
    return seen


@dataclass
class _Details:
    """Which commitments the entries hold, by entry, and which entries' details were erased."""

    held: dict[int, str] = field(default_factory=dict)
    erased: set[int] = field(default_factory=set)

    def note(self, entry: Entry) -> None:
        if DETAILS in entry.body:
            self.held[entry.sequence] = str(entry.body[DETAILS])
        if entry.kind == "details_erased":
            self.erased.add(int(str(entry.body["entry"])))


def _origin(directory: Path, identity: tuple[str, bytes] | None, seen: Examination) -> tuple[str, bytes] | None:
    """Whose ledger to take it for, or None where that cannot be known."""
    found = number = None
    try:
        number = files.layout(directory)
    except CorruptState as error:
        seen.findings.append(Finding(files.VERSION if (directory / files.ORIGIN).exists() else "", "", str(error)))
        if error.code == "ledger.version":
            return None
    try:
        found = files.read_named(directory, number)
    except CorruptState as error:
        seen.findings.append(Finding(files.ORIGIN, "", str(error)))
    if found and identity and found != identity:
        seen.findings.append(Finding(files.ORIGIN, "", "it names another party or another key than this one's"))
    return identity or found


def _entries(directory: Path, whose: tuple[str, bytes], seen: Examination, referred: _Details) -> None:
    """Head and entries: the quick way while nothing is wrong."""
    if not seen.findings:
        try:
            reading = Reading(directory)
            for entry in reading:
                referred.note(entry)
        except CorruptState:
            referred.held.clear()
            referred.erased.clear()
        else:
            seen.entries, seen.acknowledged = reading.tree.size, reading.acknowledged
            seen.root, seen.torn_bytes = reading.tree.root().hex(), reading.torn_bytes
            return
    _slowly(directory, whose, seen, referred)


def _slowly(directory: Path, whose: tuple[str, bytes], seen: Examination, referred: _Details) -> None:
    origin, key = whose[0], Ed25519PublicKey.from_public_bytes(whose[1])
    head, head_problem = None, ""
    try:
        head = files.read_head(directory, origin, key)
        seen.acknowledged = head[0]
    except CorruptState as error:
        head_problem = str(error)
    try:
        data = files.read_bytes(directory / files.ENTRIES)
    except CorruptState as error:
        seen.findings.append(Finding(files.ENTRIES, "", str(error)))
        data = b""
    walk = _Walk(head, seen, referred)
    problems = list(walk.over(data, origin, key))
    if head_problem and not seen.entries and not any(one.file == files.ORIGIN for one in seen.findings):
        # Nothing bears out the key: a changed origin looks like this, and so does a changed head without entries.
        what = "neither the head nor an entry is signed by the party and the key that it names"
        seen.findings.append(Finding(files.ORIGIN, "" if data else f"or {files.HEAD}", what))
        return
    if head_problem:
        seen.findings.append(Finding(files.HEAD, "", head_problem))
    seen.findings += problems


class _Walk:
    """Goes over entries and finds them again after damage."""

    def __init__(self, head: tuple[int, bytes] | None, seen: Examination, referred: _Details) -> None:
        self._head, self._seen, self._referred = head, seen, referred
        self._acknowledged = head[0] if head else 0
        self._tree: Frontier | None = Frontier()
        self._expected = 0

    def over(self, data: bytes, origin: str, key: Ed25519PublicKey) -> Iterator[Finding]:
        """What is wrong with the entries, in their order."""
        quoted = json.dumps(origin, ensure_ascii=False).encode()
        bodies, offset, bad = Bodies(), 0, None
        if self._head and self._head[0] == 0:
            yield from self._at_head()
        while offset < len(data):
            end = data.find(b"\n", offset)
            stop = len(data) if end < 0 else end + 1
            entry = _whole(data[offset:end], bodies, quoted, key) if end >= 0 else None
            if entry is None:
                bad = offset if bad is None else bad
            else:
                yield from self._entry(entry, data[offset:end], offset, bad)
                bad = None
            offset = stop
        yield from self._end(len(data), bad)

    def _entry(self, entry: Entry, line: bytes, offset: int, bad: int | None) -> Iterator[Finding]:
        number, expected = entry.sequence, self._expected
        if number > expected:
            what = "damaged" if bad is not None else "missing"
            yield self._finding(expected, number - 1, offset if bad is None else bad, offset, what)
        elif bad is not None:
            yield self._finding(expected, expected, bad, offset, "preceded by bytes that are no entry")
        if number < expected:
            yield self._finding(number, number, offset, offset + len(line), "here again, or out of order")
            self._tree = None
            return
        if number > expected or bad is not None:
            self._tree = None
        if self._tree is not None and entry.previous != self._tree.root().hex():
            what = "written after another history than the one stored here"
            yield self._finding(number, number, offset, offset + len(line), what)
            self._tree = None
        self._expected = number + 1
        self._seen.entries += 1
        self._referred.note(entry)
        if self._tree is not None:
            self._tree.append(leaf_hash(line))
            yield from self._at_head()

    def _at_head(self) -> Iterator[Finding]:
        if self._head and self._tree is not None and self._head == (self._tree.size, self._tree.root()):
            return
        if self._head and self._tree is not None and self._head[0] == self._tree.size:
            yield Finding(files.HEAD, "", "it covers other entries than those stored here")

    def _end(self, length: int, bad: int | None) -> Iterator[Finding]:
        lost = self._acknowledged - self._expected
        if lost > 0:
            what = "missing" if bad is None else "damaged"
            yield self._finding(self._expected, self._acknowledged - 1, length if bad is None else bad, length, what)
        elif bad is not None and self._head is not None and length - bad <= MAX_LINE + 8192:
            self._seen.torn_bytes = length - bad
        elif bad is not None:
            yield self._finding(self._expected, self._expected, bad, length, "damaged")
        if self._tree is not None and self._head is not None and lost <= 0:
            self._seen.root = self._tree.root().hex()

    def _finding(self, first: int, last: int, start: int, end: int, what: str) -> Finding:
        numbers = f"entry {first}" if first == last else f"entries {first} to {last}"
        return Finding(files.ENTRIES, f"{numbers}, bytes {start} to {max(start, end - 1)}", what)


def _whole(line: bytes, bodies: Bodies, origin: bytes, key: Ed25519PublicKey) -> Entry | None:
    """The entry of a line, whatever its number, if it is as it was signed."""
    try:
        entry, form = split(line, None, bodies)
        key.verify(bytes.fromhex(entry.signature), signed_bytes(form, origin))
    except (CorruptState, InvalidSignature):
        return None
    return entry


def _side_store(directory: Path, seen: Examination, referred: _Details) -> None:
    store = SideStore(directory)
    there = store.names()
    for sequence, name in referred.held.items():
        where = f"details of entry {sequence}"
        if sequence in referred.erased:
            seen.details_erased += 1
            continue
        try:
            if store.get(name) is None:
                seen.findings.append(Finding(details.FOLDER, where, "missing, and no entry says that they were erased"))
            else:
                seen.details_kept += 1
        except CorruptState as error:
            seen.findings.append(Finding(f"{details.FOLDER}/{name}.json", where, str(error)))
    known = {f"{name}.json" for name in there}
    folder = directory / details.FOLDER
    for path in sorted(folder.iterdir()) if folder.exists() else ():
        if path.name not in known:
            seen.findings.append(Finding(f"{details.FOLDER}/{path.name}", "", "no file of this ledger"))


def _readings(directory: Path, seen: Examination) -> None:
    for name in readings.names(directory):
        try:
            readings.get(directory, name)
            seen.readings += 1
        except CorruptState as error:
            seen.findings.append(Finding(f"{readings.FOLDER}/{name}", "", str(error)))


def _heads(directory: Path, own: Party, known: Iterable[Party], seen: Examination) -> None:
    for one in fsck_heads.look(directory, own, known):
        seen.heads += one.known
        seen.heads_unknown += not one.known
        if one.wrong:
            seen.findings.append(Finding(one.file, "", one.wrong))

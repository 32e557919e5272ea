"""One ledger as a report reads it: verified, its rounds folded, and proofs of the entries that matter.

A consortium's ledgers hold a million entries, most of them about rounds. Of those only charges and counts are kept,
of the rest the whole entry; kinds that no report asks for are counted and passed over.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

from compliance.cosignatures import HeldNote, held
from privacy.digest import Json
from privacy.dp.events import DpEvent, from_json
from privacy.errors import CollegiumError
from privacy.ledger.entry import Entry
from privacy.ledger.line import Bodies
from privacy.ledger.reader import Reading
from privacy.ledger.tree import node_hash

_BODIES = 1 << 14
"""Bodies of entries to remember: hospitals of a consortium enter much the same."""
_COUNTED = frozenset({"key_granted", "key_material", "snapshot_taken", "survivors", "survivors_signed", "witnessed"})
_PROVEN = frozenset({"cohort", "approved", "budget_set", "audited", "exported", "recovered"})
"""Kinds of which each entry is proven, besides the last charge of each cohort."""


@dataclass(frozen=True, slots=True)
class Charge:
    """One `reserved` entry; `spent` is whether training finished, `ended` whether anything after it is recorded."""

    sequence: int
    time: str
    study_digest: str
    round: int
    cohort: str
    event: DpEvent
    spent: bool
    ended: bool


@dataclass(frozen=True)
class Tally:
    """How many rounds of a study a party opened, and how they ended; `charged` and `finished` are a hospital's."""

    opened: int
    closed: int
    abandoned: int
    charged: int
    finished: int


@dataclass(frozen=True)
class Proof:
    """That an entry is in a ledger (RFC 9162 section 2.1.3): `leaf` and `path`, nearest sibling first, in hex.

    The leaf is SHA-256 of 0x00 and the entry's line; leaf, path and `sequence` give the root of the head.
    """

    sequence: int
    kind: str
    leaf: str
    path: tuple[str, ...]


@dataclass(frozen=True)
class LedgerEvidence:
    """A ledger that was found.

    Attributes:
        place: its folder, relative to the evidence.
        problem: why it failed verification, one sentence, or empty; then there is nothing of what follows.
        origin: SPIFFE ID of the party that wrote it.
        key: its Ed25519 public key, 32 bytes.
        entries: all but those of rounds that went well, and of kinds that are only counted; oldest first.
        charges: all of them, oldest first.
        reserved_first: whether each `spent` entry comes after its charge.
        tallies: of rounds, by digest of the study.
        counts: of all entries, by kind.
        size, root, torn_bytes: as in `privacy.ledger.reader.VerifiedLedger`.
        span: times of the first and the last entry.
        proofs: of the entries that figures rest on.
        notes: heads that others cosigned, not verified, each with the root that the ledger had then.
    """

    place: str
    problem: str = ""
    origin: str = ""
    key: bytes = b""
    entries: tuple[Entry, ...] = ()
    charges: tuple[Charge, ...] = ()
    reserved_first: bool = True
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    size: int = 0
    root: bytes = b""
    torn_bytes: int = 0
    span: tuple[str, str] | None = None
    proofs: tuple[Proof, ...] = ()
    notes: tuple[HeldNote, ...] = ()

    @property
    def party(self) -> str:
        """The last part of the SPIFFE ID, or the folder of a ledger that failed."""
        return self.place if self.problem else self.origin.rsplit("/", 1)[-1]

    @property
    def role(self) -> str:
        """`silo` or `aggregator` of the SPIFFE ID; empty for a ledger that failed."""
        parts = self.origin.split("/")
        return parts[-2] if len(parts) >= 2 else ""

    def of_kind(self, kind: str) -> tuple[Entry, ...]:
        """The entries of one kind, in order."""
        return self._kinds.get(kind, ())

    @cached_property
    def _kinds(self) -> dict[str, tuple[Entry, ...]]:
        groups: dict[str, list[Entry]] = {}
        for entry in self.entries:
            groups.setdefault(entry.kind, []).append(entry)
        return {kind: tuple(found) for kind, found in groups.items()}


class Reader:
    """Reads ledgers of one consortium; what their entries have in common is kept once."""

    def __init__(self) -> None:
        self._bodies = Bodies(_BODIES, _COUNTED)

    def read(self, folder: Path, place: str) -> LedgerEvidence:
        """Read one; a ledger that fails its verification is evidence too."""
        try:
            # The signed head vouches for all below it: see docs/reference/ledger.md, "What a reader must check".
            reading = Reading(folder, facts_only=True, bodies=self._bodies)
            return _Folding().fold(reading, place, tuple(held(folder, reading.origin)))
        except CollegiumError as error:
            return LedgerEvidence(place, str(error))


class _Folding:
    """One pass over a ledger."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._reserved: list[Entry] = []
        self._leaves: list[bytes] = []
        self._proven: dict[str, tuple[int, str]] = {}
        # What happened to a round, as (digest of the study, round).
        self._rounds: dict[str, set[tuple[str, int]]] = {}
        self._spent: set[tuple[str, int, str]] = set()
        self._charged: set[tuple[str, int, str]] = set()
        self._in_order = True

    def fold(self, reading: Reading, place: str, notes: tuple[HeldNote, ...]) -> LedgerEvidence:
        roots = dict.fromkeys((one.size for one in notes), b"")
        counts = Counter[str]()
        span: tuple[str, str] | None = None
        for entry in reading:
            counts[entry.kind] += 1
            span = (span[0] if span else entry.time, entry.time)
            self._leaves.append(reading.leaf)
            if reading.tree.size in roots:
                roots[reading.tree.size] = reading.tree.root()
            if entry.kind not in _COUNTED:
                self._take(entry)
        proven = sorted(self._proven.values())
        paths = _paths(self._leaves, [number for number, _ in proven])
        return LedgerEvidence(
            place=place,
            origin=reading.origin,
            key=reading.key,
            entries=tuple(self._entries),
            charges=tuple(map(self._charge, self._reserved)),
            reserved_first=self._in_order,
            tallies=self._tallies(),
            counts=dict(counts),
            size=reading.tree.size,
            root=reading.tree.root(),
            torn_bytes=reading.torn_bytes,
            span=span,
            proofs=tuple(
                Proof(number, kind, self._leaves[number].hex(), path)
                for (number, kind), path in zip(proven, paths, strict=True)
            ),
            notes=tuple(replace(one, root=roots[one.size]) for one in notes),
        )

    def _take(self, entry: Entry) -> None:
        kind, body = entry.kind, entry.body
        if kind in ("round_opened", "reserved", "spent", "closed"):
            about = (str(body["study_digest"]), _whole(body["round"]))
            what = "abandoned" if kind == "closed" and body["outcome"] != "closed" else kind
            self._rounds.setdefault(what, set()).add(about)
            if kind == "reserved":
                self._reserved.append(entry)
                self._charged.add((*about, str(body["cohort"])))
                self._proven[f"reserved {body['cohort']}"] = (entry.sequence, kind)
            elif kind == "spent":
                self._spent.add((*about, str(body["cohort"])))
                self._in_order &= (*about, str(body["cohort"])) in self._charged
        if kind in _PROVEN:
            self._proven[f"{kind} {entry.sequence}"] = (entry.sequence, kind)
        if kind not in ("round_opened", "reserved", "spent") and (kind, body.get("outcome")) != ("closed", "closed"):
            self._entries.append(entry)

    def _charge(self, entry: Entry) -> Charge:
        body = entry.body
        about = (str(body["study_digest"]), _whole(body["round"]))
        cohort = str(body["cohort"])
        ended = any(about in self._rounds.get(what, ()) for what in ("spent", "closed", "abandoned"))
        spent = (*about, cohort) in self._spent
        return Charge(entry.sequence, entry.time, *about, cohort, _event(json.dumps(body["event"])), spent, ended)

    def _tallies(self) -> dict[str, Tally]:
        def count(study: str, *what: str) -> int:
            return len({number for one in what for digest, number in self._rounds.get(one, ()) if digest == study})

        studies = {digest for rounds in self._rounds.values() for digest, _ in rounds}
        studies |= {str(entry.body["study_digest"]) for entry in self._entries if "study_digest" in entry.body}
        return {
            study: Tally(
                count(study, "round_opened", "reserved"),
                count(study, "closed"),
                count(study, "abandoned"),
                count(study, "reserved"),
                count(study, "spent"),
            )
            for study in sorted(studies)
        }


@lru_cache(maxsize=1024)
def _event(data: str) -> DpEvent:
    return from_json(json.loads(data))


def _whole(value: Json) -> int:
    if not isinstance(value, int):
        raise TypeError("the ledger's reader lets only counts through here")
    return value


def _paths(leaves: list[bytes], numbers: list[int]) -> list[tuple[str, ...]]:
    """Audit paths of several leaves, with the tree hashed once.

    A last node without a sibling goes up unchanged, which is the tree of RFC 9162 seen from below.
    """
    paths: list[list[str]] = [[] for _ in numbers]
    level, places = leaves, list(numbers)
    while len(level) > 1 and numbers:
        for path, place in zip(paths, places, strict=True):
            if place ^ 1 < len(level):
                path.append(level[place ^ 1].hex())
        places = [place >> 1 for place in places]
        above = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = above + level[-1:] if len(level) % 2 else above
    return [tuple(path) for path in paths]

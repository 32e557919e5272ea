"""Each ledger by itself, and against what others kept of it: keys that studies pin, heads that parties witnessed.

Every signature, number and root is checked, not only the head. A ledger put back to an older copy of itself, or told
otherwise to somebody, shows against a head that another party entered, or that an earlier report kept.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compliance import bundle
from compliance.canonical import canonical
from compliance.checks.check import Check, Outcome, conclude
from compliance.evidence import StudyEvidence
from privacy import regular
from privacy.errors import CollegiumError
from privacy.ledger.files import ORIGIN
from privacy.ledger.line import Bodies
from privacy.ledger.reader import VerifiedLedger, read


@dataclass(frozen=True)
class Head:
    """A head of a party's ledger that somebody else kept: how many entries, their root (hex), and who kept it."""

    party: str
    size: int
    root: str
    kept_by: str


def name_of(ledger: VerifiedLedger) -> str:
    """The party, as rosters have it."""
    return ledger.origin.rsplit("/", 1)[-1]


def is_silo(ledger: VerifiedLedger) -> bool:
    """Whether it is a hospital's."""
    return ledger.origin.split("/")[-2:-1] == ["silo"]


def read_all(directory: Path) -> tuple[list[Check], list[VerifiedLedger]]:
    """Check every ledger of a report; those that hold are given back, by party."""
    checks, sound, bodies = [], [], Bodies(1 << 16)
    for folder in sorted(path.parent for path in (directory / bundle.EVIDENCE).glob(f"*/ledger/{ORIGIN}")):
        name = f"ledger {folder.parent.name}"
        try:
            ledger = read(folder, bodies=bodies)
        except CollegiumError as error:
            checks.append(Check(name, Outcome.FAILED, (str(error),)))
            continue
        gaps = (
            [f"its last {ledger.torn_bytes} bytes are no entry and were never acknowledged"]
            if ledger.torn_bytes
            else []
        )
        checks.append(conclude(name, [], gaps, f"{ledger.size} entries"))
        sound.append(ledger)
    if not checks:
        checks.append(Check("ledgers", Outcome.FAILED, ("there is no ledger in this report",)))
    return checks, sound


def keys(ledgers: Sequence[VerifiedLedger], studies: Sequence[StudyEvidence]) -> Check:
    """The signed studies pin the key of each ledger for its party, and each party's ledger is here."""
    pins: dict[tuple[bool, str], set[str]] = {}
    for found in studies:
        roster = found.study.roster
        for party in roster.silos:
            pins.setdefault((True, party.name), set()).add(party.identity)
        pins.setdefault((False, roster.aggregator.name), set()).add(roster.aggregator.identity)
    here = {(is_silo(ledger), name_of(ledger)) for ledger in ledgers}
    problems = [
        f"the ledger of {name_of(ledger)} is written with another key than the one that a signed study pins"
        for ledger in ledgers
        if pins.get((is_silo(ledger), name_of(ledger)), {ledger.key.hex()}) != {ledger.key.hex()}
    ]
    gaps = [f"the ledger of {name} is not here" for silo, name in sorted(pins) if (silo, name) not in here]
    gaps += [f"no signed study pins the key of {name}" for silo, name in sorted(here) if (silo, name) not in pins]
    return conclude("keys", problems, gaps, f"{len(here)} parties")


def witnesses(ledgers: Sequence[VerifiedLedger]) -> Check:
    """Each ledger extends what the others entered of it."""
    heads = [head for ledger in ledgers for head in _witnessed(ledger)]
    unseen = {name_of(ledger) for ledger in ledgers} - {head.party for head in heads if head.kept_by != head.party}
    gaps = [
        f"no other party's ledger has a head of {name}'s, so an older copy would not show" for name in sorted(unseen)
    ]
    return conclude("witnesses", _contradicted(ledgers, heads), gaps, f"{len(heads)} heads")


def previous(directory: Path, ledgers: Sequence[VerifiedLedger], stated: str | None) -> Check | None:
    """The last report is the one that this one was compared with, and each ledger extends what it saw.

    Args:
        directory: of the report.
        ledgers: those that hold.
        stated: the digest that the record has of the last report; empty if it was made without, None if not known.

    Returns:
        None where there is no last report and the record says so.
    """
    path = directory / bundle.PREVIOUS
    if not path.exists():
        missing = f"the record was compared with a last report, and {bundle.PREVIOUS} is missing"
        return conclude("previous report", [missing]) if stated else None
    try:
        data = regular.read(path, bundle.MAX_RECORD + 1)
    except OSError as error:
        return conclude("previous report", [f"{bundle.PREVIOUS} cannot be read: {error.strerror}"])
    if stated is not None and stated != hashlib.sha256(data).hexdigest():
        return conclude("previous report", [f"{bundle.PREVIOUS} is not what the record was compared with"])
    try:
        record = json.loads(data)
        if not isinstance(record, dict) or canonical(record) != data:
            raise ValueError("another form")
        heads = [
            Head(str(seen["party"]), int(seen["entries"]), str(seen["root"]), "the last report")
            for seen in record["ledgers"]
            if not seen["problem"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError):
        return conclude("previous report", [f"{bundle.PREVIOUS} is not as it was written"])
    return conclude("previous report", _contradicted(ledgers, heads), seen=f"{len(heads)} ledgers extend what it saw")


def _witnessed(ledger: VerifiedLedger) -> Iterator[Head]:
    for entry in ledger.entries:
        heads = entry.body["heads"] if entry.kind == "witnessed" else []
        for head in heads if isinstance(heads, list) else ():
            yield _head(head if isinstance(head, dict) else {}, name_of(ledger))


def _head(said: Mapping[str, Any], kept_by: str) -> Head:
    """One that does not say what a head says is kept as one that nothing extends."""
    size = said.get("size")
    party = str(said.get("party", kept_by)).rsplit("/", 1)[-1]
    return Head(party, size if isinstance(size, int) and size >= 0 else -1, str(said.get("root", "")), kept_by)


def _contradicted(ledgers: Sequence[VerifiedLedger], heads: Iterable[Head]) -> Iterator[str]:
    by_name: dict[str, list[VerifiedLedger]] = {}
    for ledger in ledgers:
        by_name.setdefault(name_of(ledger), []).append(ledger)
    for head in heads:
        for ledger in by_name.get(head.party, ()):
            if head.size > ledger.size:
                yield (
                    f"the ledger of {head.party} has {ledger.size} entries here, and {head.kept_by} saw {head.size}: "
                    f"it was put back, or copied too early{admitted(ledger)}"
                )
            elif head.size < 0 or root_after(ledger, head.size) != head.root:
                yield (
                    f"the ledger of {head.party} is another one than {head.kept_by} saw at {head.size} entries"
                    f"{admitted(ledger)}"
                )


def admitted(ledger: VerifiedLedger) -> str:
    """What a ledger itself says of entries that it lost. It excuses nothing: whoever drops entries could say so too."""
    found = [entry for entry in ledger.entries if entry.kind == "recovered"]
    return f"; its entry {found[-1].sequence} says that lost entries were given up" if found else ""


def root_after(ledger: VerifiedLedger, size: int) -> str:
    """The Merkle root over the first `size` entries, hex: each entry has that of those before it."""
    return ledger.root.hex() if size == ledger.size else ledger.entries[size].previous

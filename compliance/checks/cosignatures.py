"""Every cosigned head in the evidence: those that a ledger has of itself, and those that witnesses keep of others.

Each must hold with both of its signatures, and the ledger must extend it: one that was put back, with all that lay
beside it, does not extend what a witness kept. Two heads of one size that a party signed prove that it told two
stories.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compliance import bundle
from compliance.checks.check import Check, conclude
from compliance.checks.ledgers import admitted, name_of, root_after
from compliance.cosignatures import parties, party_of, statement, text, time_of
from compliance.evidence import StudyEvidence
from privacy.errors import CollegiumError
from privacy.ledger.files import ORIGIN, read_bytes
from privacy.ledger.heads.cosigned import FOLDER, Cosigned, Party, verify
from privacy.ledger.heads.cosigner import stated
from privacy.ledger.heads.note import read_checkpoint
from privacy.ledger.heads.watch import FOLDER as SEEN
from privacy.ledger.heads.watch import FORK, NOTE, STATEMENT
from privacy.ledger.reader import VerifiedLedger


@dataclass
class _Findings:
    ledgers: Mapping[str, list[VerifiedLedger]]
    known: Mapping[str, Party]
    problems: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)


def cosigned(directory: Path, ledgers: Sequence[VerifiedLedger], studies: Sequence[StudyEvidence]) -> Check:
    """Every cosignature holds, and every ledger extends the heads of it that were cosigned."""
    by_origin: dict[str, list[VerifiedLedger]] = {}
    for ledger in ledgers:
        by_origin.setdefault(ledger.origin, []).append(ledger)
    found = _Findings(by_origin, parties(one.study for one in studies))
    origins = {path.parent: ledger_origin(path, ledgers) for path in _ledger_files(directory)}
    for folder, origin in origins.items():
        if origin is not None:
            _own(folder, origin, found)
            _others(folder, origin, found)
    for ledger in ledgers:
        others = {witness for owner, witness in found.seen if owner == ledger.origin}
        rosters = [one.study for one in studies if ledger.origin in parties([one.study])]
        missing = {uri for uri in parties(rosters) if uri != ledger.origin} - others
        if missing:
            names = ", ".join(sorted(uri.rsplit("/", 1)[-1] for uri in missing))
            found.gaps.append(f"the ledger of {name_of(ledger)} is not cosigned by {names}")
    return conclude("cosignatures", found.problems, found.gaps, f"{len(found.seen)} hold, each with both signatures")


def ledger_origin(path: Path, ledgers: Sequence[VerifiedLedger]) -> str | None:
    """Whose ledger lies beside this `origin.json`, if it is one of those that hold."""
    data = read_bytes(path)
    return next((ledger.origin for ledger in ledgers if f'"{ledger.origin}"'.encode() in data), None)


def _ledger_files(directory: Path) -> list[Path]:
    return sorted((directory / bundle.EVIDENCE).glob(f"*/ledger/{ORIGIN}"))


def _own(folder: Path, origin: str, found: _Findings) -> None:
    """Heads of this ledger that others cosigned."""
    for path in _files(folder / FOLDER, NOTE):
        _cosigned(path, path.with_suffix(STATEMENT), origin, party_of(path, origin), found)
    for path in _files(folder / FOLDER, STATEMENT):
        _statement(path, party_of(path, origin), found)


def _others(folder: Path, origin: str, found: _Findings) -> None:
    """Heads of others' ledgers that this party cosigned, and what it saw of a fork."""
    own = folder / SEEN / f"{'-'.join(origin.rsplit('/', 2)[1:])}{STATEMENT}"
    for path in _files(folder / SEEN, NOTE):
        _cosigned(path, own, party_of(path, origin), origin, found)
    for path in _files(folder / SEEN, STATEMENT):
        _statement(path, party_of(path, origin), found)
    for path in _files(folder / SEEN, FORK):
        owner = found.known.get(party_of(path, origin))
        if owner is not None:
            try:
                head = read_checkpoint(text(path), owner.identity)
                name = owner.uri.rsplit("/", 1)[-1]
                found.problems.append(f"{name} signed two different ledgers of {head.size} entries")
            except CollegiumError as error:
                found.problems.append(f"{path.name} beside the ledger of {_name(origin)}: {error}")


def _cosigned(path: Path, key: Path, owner: str, witness: str, found: _Findings) -> None:
    unknown = [uri for uri in (owner, witness) if uri not in found.known]
    if unknown:
        found.gaps.append(f"no signed study pins the key of {_name(unknown[0])}")
        return
    try:
        head = verify(text(path), statement(key), found.known[owner], found.known[witness])
        time_of(head)
    except (CollegiumError, ValueError) as error:
        found.problems.append(f"{_name(witness)}'s cosignature of the ledger of {_name(owner)}: {error}")
        return
    found.seen.add((owner, witness))
    found.problems += _contradicted(head, owner, witness, found.ledgers)


def _contradicted(
    head: Cosigned, owner: str, witness: str, ledgers: Mapping[str, list[VerifiedLedger]]
) -> Iterator[str]:
    size = head.checkpoint.size
    for ledger in ledgers.get(owner, ()):
        if size > ledger.size:
            yield (
                f"the ledger of {_name(owner)} has {ledger.size} entries here, and {_name(witness)} cosigned {size}: "
                f"it was put back, or copied too early{admitted(ledger)}"
            )
        elif root_after(ledger, size) != head.checkpoint.root.hex():
            yield (
                f"the ledger of {_name(owner)} is another one than {_name(witness)} cosigned at {size} entries"
                f"{admitted(ledger)}"
            )


def _statement(path: Path, uri: str, found: _Findings) -> None:
    party = found.known.get(uri)
    if party is None:
        found.gaps.append(f"no signed study pins the key of {_name(uri)}")
        return
    try:
        stated(statement(path), uri, party.identity)
    except CollegiumError as error:
        found.problems.append(f"{_name(uri)}: {error}")


def _files(folder: Path, suffix: str) -> list[Path]:
    return [path for path in sorted(folder.glob(f"*{suffix}")) if path.is_file() and not path.is_symlink()]


def _name(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]

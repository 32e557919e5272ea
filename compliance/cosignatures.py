"""Which other parties cosigned a ledger's head, as the files beside the ledger show it: docs/reference/ledger.md.

A cosignature counts where the owner's and both of the witness's signatures hold, the witness's identity key is pinned
by a signed study, and the ledger extends that head. All else is for `collegium-compliance verify` to name.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from privacy.errors import CollegiumError
from privacy.ledger.heads.cosigned import FOLDER, Cosigned, Party, verify
from privacy.ledger.heads.cosigner import MAX_BYTES
from privacy.ledger.heads.watch import FOLDER as SEEN
from privacy.ledger.heads.watch import FORK, MAX_COSIGNED, NOTE, STATEMENT
from privacy.study import Study

FOLDERS: Final = (FOLDER, SEEN)
SUFFIXES: Final = (NOTE, STATEMENT, FORK)
_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class Cosignature:
    """A party that cosigned the ledger when it had so many entries, and when by its own clock (UTC)."""

    witness: str
    entries: int
    time: str


@dataclass(frozen=True)
class HeldNote:
    """A cosigned head as it lies beside a ledger: `witness` by SPIFFE ID, and the ledger's root at the note's size."""

    witness: str
    note: str
    statement: bytes
    root: bytes | None = None

    @property
    def size(self) -> int:
        """How many entries the note says, not verified; 0 if it says none."""
        lines = self.note.split("\n", 2)
        return int(lines[1]) if len(lines) == 3 and lines[1].isascii() and lines[1].isdecimal() else 0


def parties(studies: Iterable[Study]) -> dict[str, Party]:
    """The members that signed studies name, by SPIFFE ID."""
    found = {}
    for study in studies:
        roster = study.roster
        for role, one in (("aggregator", roster.aggregator), *(("silo", silo) for silo in roster.silos)):
            uri = f"spiffe://{study.consortium}/{role}/{one.name}"
            found[uri] = Party(uri, bytes.fromhex(one.identity))
    return found


def party_of(path: Path, origin: str) -> str:
    """The SPIFFE ID of the party that a file beside the ledger of `origin` is named after."""
    role, _, name = path.stem.partition("-")
    return f"{origin.rsplit('/', 2)[0]}/{role}/{name}"


def text(path: Path) -> str:
    """A note that lies beside a ledger; one that is too long is cut, and so not believed."""
    with path.open("rb") as file:
        return file.read(MAX_COSIGNED + 1).decode(errors="replace")


def statement(path: Path) -> bytes:
    """The statement of a witness about its key; empty where there is none, which is not believed."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def held(ledger: Path, origin: str) -> Iterator[HeldNote]:
    """What lies beside the ledger of `origin`, not verified."""
    for path in sorted((ledger / FOLDER).glob(f"*{NOTE}")):
        if path.is_file() and not path.is_symlink():
            yield HeldNote(party_of(path, origin), text(path), statement(path.with_suffix(STATEMENT)))


def time_of(found: Cosigned) -> str:
    """When it was cosigned, by the witness's clock.

    Raises:
        ValueError: at no time that a calendar has.
    """
    if found.at > _LATEST:
        raise ValueError("no calendar has this time")
    return datetime.fromtimestamp(found.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def cosignatures(owner: Party, notes: Iterable[HeldNote], known: Mapping[str, Party]) -> tuple[Cosignature, ...]:
    """The cosignatures that count, by witness."""
    found = []
    for one in notes:
        witness = known.get(one.witness)
        if witness is None or witness == owner:
            continue
        try:
            seen = verify(one.note, one.statement, owner, witness)
            if seen.checkpoint.root == one.root:
                found.append(Cosignature(witness.uri.rsplit("/", 1)[-1], seen.checkpoint.size, time_of(seen)))
        except (CollegiumError, ValueError):
            continue  # `verify` names it
    return tuple(found)

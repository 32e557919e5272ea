"""Who of the roster was in the sums, by a silo's own signed ledger: a consortium that shrinks shows.

The survivor list of each round is what all silos verified before they opened its sum. Rounds whose end was taken over
from another silo are not counted: their lists were not seen here.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from privacy.digest import Json
from privacy.ledger.entry import Entry
from privacy.roster import Roster


@dataclass(frozen=True)
class Participation:
    """One silo in the rounds of a study: in how many sums it was, and in which last (0 = in none)."""

    silo: str
    sums: int
    last: int

    def as_json(self) -> dict[str, Json]:
        """The same as plain data."""
        return {"silo": self.silo, "sums": self.sums, "last": self.last}


def absent(roster: Roster, members: Collection[int]) -> tuple[str, ...]:
    """Names of the silos that are not among these roster indices."""
    return tuple(silo.name for index, silo in enumerate(roster.silos, start=1) if index not in members)


def lists(entries: Sequence[Entry], study_digest: str) -> dict[int, frozenset[int]]:
    """Roster indices in the sum of each round that this ledger saw closed, by round, ascending."""
    seen: dict[int, frozenset[int]] = {}
    for entry in entries:
        body = entry.body
        if entry.kind == "closed" and body["study_digest"] == study_digest and body["outcome"] == "closed":
            silos = body.get("silos", [])
            if isinstance(silos, list) and silos:
                seen[int(str(body["round"]))] = frozenset(int(str(index)) for index in silos)
    return dict(sorted(seen.items()))


def of_all(entries: Sequence[Entry], study_digest: str, roster: Roster) -> tuple[int, tuple[Participation, ...]]:
    """How many survivor lists this ledger has, and each silo's part in them, in the order of the roster."""
    seen = lists(entries, study_digest)
    parts = []
    for index, silo in enumerate(roster.silos, start=1):
        rounds = [number for number, members in seen.items() if index in members]
        parts.append(Participation(silo.name, len(rounds), max(rounds, default=0)))
    return len(seen), tuple(parts)

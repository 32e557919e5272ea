"""Whether a ledger still is the one whose heads others keep: a rollback or a fork, and what it may have lost.

Pure: heads and entries in, findings out. Who may be believed about a head is for the caller: it takes only heads that
the ledger's own writer signed, or that another silo signed that it saw. A `recovered` entry names the heads that a
person gave up; they are not asked for again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from privacy.dp.events import DpEvent, from_json
from privacy.ledger.entry import Entry

ROLLED_BACK = "ledger.rolled_back"


@dataclass(frozen=True)
class Seen:
    """A head of this ledger, and the party that keeps it: number of entries and Merkle root over them (32 bytes)."""

    party: str
    size: int
    root: bytes


@dataclass(frozen=True)
class Charge:
    """What may have been charged in entries that are lost."""

    study_digest: str
    round_number: int
    cohort: str
    event: DpEvent


def lost(entries: Sequence[Entry], root: bytes, seen: Iterable[Seen]) -> tuple[Seen, ...]:
    """The heads that this ledger does not extend, but for those that a `recovered` entry gave up.

    Args:
        entries: the whole, verified ledger.
        root: the Merkle root over all of it.
        seen: what witnesses keep.
    """
    given_up = {
        (witness["size"], witness["root"])
        for entry in entries
        if entry.kind == "recovered" and isinstance(entry.body["witnesses"], list)
        for witness in entry.body["witnesses"]
        if isinstance(witness, dict)
    }
    return tuple(
        head
        for head in seen
        if _root_at(entries, root, head.size) != head.root and (head.size, head.root.hex()) not in given_up
    )


def _root_at(entries: Sequence[Entry], root: bytes, size: int) -> bytes | None:
    """The root over the first `size` entries: the next one's `previous`; None if there are not so many."""
    if size == len(entries):
        return root
    return bytes.fromhex(entries[size].previous) if size < len(entries) else None


def charges(
    entries: Sequence[Entry], study_digest: str, cohort: str, event: DpEvent, newest_round: int
) -> tuple[Charge, ...]:
    """What to charge for entries that are lost, so that no cohort has more budget left than it may have.

    Of the study whose witnesses were asked: each round up to `newest_round` that has no charge. Of every other study
    that was approved here, whose witnesses were not asked: what is left of its whole plan.

    Args:
        entries: the whole ledger.
        study_digest: the study that was asked about, hex.
        cohort: the one that it reads.
        event: of one of its rounds.
        newest_round: the last round that trains and that this silo may have begun.
    """
    reserved = [entry.body for entry in entries if entry.kind == "reserved"]
    known = {body["round"] for body in reserved if body["study_digest"] == study_digest}
    own = (Charge(study_digest, number, cohort, event) for number in range(1, newest_round + 1) if number not in known)
    plans = {str(e.body["study_digest"]): e.body for e in entries if e.kind == "approved"}
    others = []
    for digest, plan in plans.items():
        if digest != study_digest:
            planned = from_json(plan["planned_event"])
            steps = sum(from_json(body["event"]).steps for body in reserved if body["study_digest"] == digest)
            if steps < planned.steps:
                rest = replace(planned, steps=planned.steps - steps)
                others.append(Charge(digest, 0, str(plan["cohort"]), rest))
    return (*own, *others)

"""What the ledgers of several parties say of the same round must be one story.

The rounds that all closed have one chain and one list of survivors, and who took part according to the aggregator paid
for it according to its own ledger. An entry that a hospital left out of a ledger it signed anew shows here.
"""

from collections.abc import Iterator, Sequence

from compliance.checks.check import Check, conclude
from compliance.checks.ledgers import is_silo, name_of
from compliance.evidence import StudyEvidence
from privacy.ledger.entry import Entry
from privacy.ledger.reader import VerifiedLedger

Round = tuple[str, object]
"""Digest of the study and number of the round."""
_SAYING = {"closed": ("outcome", "chain", "silos"), "snapshot_taken": ("chain",)}
_SURVIVORS = {"survivors": ("survivors",), "survivors_signed": ("survivors",)}


def rounds(ledgers: Sequence[VerifiedLedger], studies: Sequence[StudyEvidence]) -> Check:
    """The parties agree on how each round ended and on who took part."""
    problems = [*_contradictions(ledgers), *_unpaid(ledgers, studies), *_unapproved_rosters(ledgers, studies)]
    gaps = [] if len(ledgers) > 1 else ["there is no other ledger to compare with"]
    return conclude("rounds", problems, gaps, "the parties tell one story")


def _contradictions(ledgers: Sequence[VerifiedLedger]) -> Iterator[str]:
    told: dict[tuple[Round, str], dict[str, str]] = {}
    for ledger in ledgers:
        for entry in ledger.entries:
            for key in (*_SAYING.get(entry.kind, ()), *_SURVIVORS.get(entry.kind, ())):
                # The aggregator does not compute the chain of a round that it abandons, nor say twice who was in a sum.
                if said := entry.body.get(key):
                    told.setdefault((_round(entry), key), {}).setdefault(str(said), name_of(ledger))
    for (where, what), said_by in told.items():
        if len(said_by) > 1:
            parties = " and ".join(sorted(said_by.values()))
            yield f"{parties} do not agree on the {what} of round {where[1]} of study {where[0][:12]}"


def _unpaid(ledgers: Sequence[VerifiedLedger], studies: Sequence[StudyEvidence]) -> Iterator[str]:
    by_digest = {found.digest: found.study for found in studies}
    kept = {name_of(ledger): _paid_and_released(ledger) for ledger in ledgers if is_silo(ledger)}
    for ledger in ledgers:
        listing = [entry for entry in ledger.entries if entry.kind == "survivors"]
        for entry in listing:
            study, members = by_digest.get(str(entry.body["study_digest"])), entry.body["silos"]
            if study is None or not isinstance(members, list):
                continue
            # After the last round of training only metrics are sent, which are released and not charged.
            trains = int(str(entry.body["round"])) <= study.training.rounds
            for index in members:
                silos = study.roster.silos
                name = silos[index - 1].name if isinstance(index, int) and 1 <= index <= len(silos) else ""
                if name in kept and (*_round(entry), "reserved" if trains else "release") not in kept[name]:
                    what = "charge for" if trains else "release in"
                    yield (
                        f"{name} took part in round {entry.body['round']} according to {name_of(ledger)}, and its own "
                        f"ledger has no {what} it"
                    )


def _paid_and_released(ledger: VerifiedLedger) -> set[tuple[str, object, str]]:
    return {(*_round(entry), entry.kind) for entry in ledger.entries if entry.kind in ("reserved", "release")}


def _unapproved_rosters(ledgers: Sequence[VerifiedLedger], studies: Sequence[StudyEvidence]) -> Iterator[str]:
    codes = {found.digest: found.study.roster.code for found in studies}
    for ledger in ledgers:
        for entry in ledger.entries:
            if entry.kind == "approved" and entry.body["roster_code"] != codes.get(
                str(entry.body["study_digest"]), entry.body["roster_code"]
            ):
                yield f"{name_of(ledger)} approved another roster than that of the signed study"


def _round(entry: Entry) -> Round:
    return str(entry.body["study_digest"]), entry.body["round"]

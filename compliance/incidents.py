"""What a person should look at: refusals, incidents, recoveries and rounds that had no result, alike ones as one."""

from collections.abc import Iterator
from dataclasses import dataclass

from compliance.evidence import Evidence
from privacy.ledger.entry import Entry


@dataclass(frozen=True)
class Occurrence:
    """Something that happened: `parties` recorded it, `count` times in all, at `first` for the first time."""

    what: str
    code: str
    detail: str
    study: str
    parties: tuple[str, ...]
    first: str
    count: int


@dataclass(frozen=True)
class _Seen:
    what: str
    code: str
    detail: str
    study_digest: str
    time: str
    party: str


def occurrences(evidence: Evidence, names: dict[str, str]) -> tuple[Occurrence, ...]:
    """All of them, by time; `names` of studies by digest."""
    groups: dict[tuple[str, str, str, str], list[_Seen]] = {}
    for seen in _happened(evidence):
        study = names.get(seen.study_digest, seen.study_digest[:12])
        groups.setdefault((seen.what, seen.code, seen.detail, study), []).append(seen)
    found = [
        Occurrence(*key, tuple(sorted({seen.party for seen in all_of})), min(seen.time for seen in all_of), len(all_of))
        for key, all_of in groups.items()
    ]
    return tuple(sorted(found, key=lambda occurrence: (occurrence.first, occurrence.detail)))


def _happened(evidence: Evidence) -> Iterator[_Seen]:
    for found in evidence.ledgers:
        for entry in found.entries:
            if told := _told(entry):
                yield _Seen(*told, str(entry.body.get("study_digest", "")), entry.time, found.party)
        for charge in found.charges:
            if not charge.ended:
                detail = f"Round {charge.round} was paid for and has not finished (stopped, or still running)."
                digest = charge.study_digest
                yield _Seen("unfinished round", "round.unfinished", detail, digest, charge.time, found.party)


def _told(entry: Entry) -> tuple[str, str, str] | None:
    body = entry.body
    match entry.kind:
        case "refused":
            return "refusal", str(body["code"]), str(body["reason"])
        case "incident":
            return "incident", str(body["code"]), str(body["detail"])
        case "closed":
            detail = f"Round {body['round']} ended without a sum; what was reserved for it stays spent."
            return "abandoned round", "round.abandoned", detail
        case "unopenable":
            detail = f"Round {body['round']} could not be opened, made so by hospital {body['culprit']} of the roster."
            return "unopenable round", str(body["code"]), detail
        case "recovered":
            # `size` is that of the newest head that was lost; 0 where only a round was known that the copy lacks.
            lost = (
                f"Others knew it with {body['size']} entries" if body["size"] else "Others knew a round that it lacked"
            )
            detail = f"It goes on from an older copy as entry {entry.sequence}. {lost}: {body['reason']}"
            return "recovered ledger", "ledger.recovered", detail
    return None

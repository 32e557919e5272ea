"""The report as data: a pure function of evidence, accountants and the time; nothing is read or written.

Every figure is recomputed from ledger events. What the evidence does not show is None here, and
"not shown" to a reader; an infinite epsilon is "unlimited". `to_json` gives the record that the page
is made from, byte for byte reproducible.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime

from compliance.budget import cohorts
from compliance.canonical import canonical
from compliance.evidence import Evidence
from compliance.ledgers import LedgerEvidence
from compliance.studies import Accountants, StudyView, views
from compliance.summary import Integrity, SiloView, Summary, statement, summarise
from compliance.unprotected import Exposure, exposures
from privacy.digest import Json
from privacy.dp.events import DpSgdEvent, UnprotectedEvent, to_json
from privacy.ledger.entry import Entry
from privacy.study import fingerprint

FORMAT = "collegium-report/1"


@dataclass(frozen=True)
class Ingest:
    """A cohort as it was de-identified and taken in; `quarantined` counts files by reason code."""

    silo: str
    cohort: str
    time: str
    digest: str
    patients: int
    images: int
    quarantined: dict[str, int]
    profile: str
    table_edition: str


@dataclass(frozen=True)
class Occurrence:
    """Something that a person should look at: a refusal, an incident, an abandoned or unfinished round.

    `parties` recorded it, `count` times in all, at `first` for the first time.
    """

    what: str
    code: str
    detail: str
    study: str
    parties: tuple[str, ...]
    first: str
    count: int


@dataclass(frozen=True)
class Report:
    """Everything the report says."""

    format: str
    made_at: str
    accountants: dict[str, str]
    statement: tuple[str, ...]
    summary: Summary
    silos: tuple[SiloView, ...]
    studies: tuple[StudyView, ...]
    occurrences: tuple[Occurrence, ...]
    ingests: tuple[Ingest, ...]
    exposures: tuple[Exposure, ...]
    ledgers: tuple[Integrity, ...]
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """Plain data; infinity becomes the text "unlimited"."""
        plain = _plain(self)
        if not isinstance(plain, dict):
            raise TypeError("a report is an object")
        return plain

    def canonical(self) -> bytes:
        """The bytes of the JSON file (RFC 8785), whose digest the page shows."""
        return canonical(self.to_json())

    @property
    def sound(self) -> bool:
        """Whether everything found was verified."""
        return not self.problems and all(not ledger.problem for ledger in self.ledgers)


def build(evidence: Evidence, accountants: Accountants, made_at: datetime) -> Report:
    """Make the report.

    Raises:
        CorruptState: a ledger holds an event of unknown form.
    """
    silos = tuple(SiloView(found.party, cohorts(found, accountants.pld)) for found in evidence.silos())
    studies = views(evidence, {silo.name: silo.cohorts for silo in silos}, accountants)
    ledgers = tuple(_integrity(found, evidence) for found in evidence.ledgers)
    bare = any(not entry.body["protected"] for _, entry in _entries(evidence, "release"))
    summary = summarise(silos, ledgers, bare_releases=bare)
    return Report(
        format=FORMAT,
        made_at=made_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        accountants=accountants.names,
        statement=statement(summary),
        summary=summary,
        silos=silos,
        studies=studies,
        occurrences=_occurrences(evidence, {study.digest: study.name for study in studies}),
        ingests=tuple(_ingests(evidence)),
        exposures=exposures(evidence),
        ledgers=ledgers,
        problems=evidence.problems,
    )


def _integrity(found: LedgerEvidence, evidence: Evidence) -> Integrity:
    if found.problem:
        return Integrity(found.party, found.role, found.place, None, None, None, None, None, None, 0, found.problem, ())
    pinned = _pinned(found, evidence)
    return Integrity(
        found.party,
        found.role,
        found.place,
        found.size,
        found.root.hex(),
        fingerprint(found.key),
        found.span[0] if found.span else None,
        found.span[1] if found.span else None,
        pinned,
        found.torn_bytes,
        "A signed study pins another key for this party: these may not be its entries." if pinned is False else "",
        found.proofs,
    )


def _pinned(found: LedgerEvidence, evidence: Evidence) -> bool | None:
    """Whether the studies that name this party pin this key for it; None when no study names it."""
    key = found.key.hex()
    pins = []
    for entry in evidence.studies:
        roster = entry.study.roster
        parties = roster.silos if found.role == "silo" else (roster.aggregator,)
        pins += [party.identity == key for party in parties if party.name == found.party]
    return all(pins) if pins else None


def _entries(evidence: Evidence, kind: str) -> Iterator[tuple[str, Entry]]:
    for found in evidence.ledgers:
        for entry in found.of_kind(kind):
            yield found.party, entry


def _occurrences(evidence: Evidence, names: dict[str, str]) -> tuple[Occurrence, ...]:
    """Alike ones of several parties or times are one."""
    groups: dict[tuple[str, str, str, str], list[tuple[str, str]]] = {}
    for what, code, detail, digest, seen in _happened(evidence):
        groups.setdefault((what, code, detail, names.get(digest, digest[:12])), []).append(seen)
    found = [
        Occurrence(*key, tuple(sorted({party for _, party in seen})), min(seen)[0], len(seen))
        for key, seen in groups.items()
    ]
    return tuple(sorted(found, key=lambda occurrence: (occurrence.first, occurrence.detail)))


def _happened(evidence: Evidence) -> Iterator[tuple[str, str, str, str, tuple[str, str]]]:
    """What, code, detail and digest of the study; when and at whom."""
    for what, kind, detail in (("refusal", "refused", "reason"), ("incident", "incident", "detail")):
        for party, entry in _entries(evidence, kind):
            body = entry.body
            digest = str(body.get("study_digest", ""))
            yield what, str(body["code"]), str(body[detail]), digest, (entry.time, party)
    for party, entry in _entries(evidence, "closed"):
        text = f"Round {entry.body['round']} ended without a sum; what was reserved for it stays spent."
        yield "abandoned round", "round.abandoned", text, str(entry.body["study_digest"]), (entry.time, party)
    for found in evidence.ledgers:
        for charge in found.charges:
            if not charge.ended:
                text = f"Round {charge.round} was paid for and has not finished (stopped, or still running)."
                yield "unfinished round", "round.unfinished", text, charge.study_digest, (charge.time, found.party)


def _ingests(evidence: Evidence) -> Iterator[Ingest]:
    for party, entry in _entries(evidence, "cohort"):
        body = entry.body
        quarantined = body["quarantined"] if isinstance(body["quarantined"], dict) else {}
        yield Ingest(
            party,
            str(body["cohort"]),
            entry.time,
            str(body["digest"]),
            int(str(body["patients"])),
            int(str(body["images"])),
            {code: int(str(count)) for code, count in sorted(quarantined.items())},
            str(body["profile"]),
            str(body["table_edition"]),
        )


def _plain(value: object) -> Json:
    match value:
        case None | bool() | int() | str():
            return value
        case DpSgdEvent() | UnprotectedEvent():
            return to_json(value)
        case float():
            return value if math.isfinite(value) else "unlimited"
        case dict():
            return {str(name): _plain(item) for name, item in value.items()}
        case tuple() | list():
            return [_plain(item) for item in value]
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    raise TypeError(f"{type(value).__name__} is not part of a report")

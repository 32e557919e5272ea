"""The report as data: a pure function of evidence, accountants and the time; nothing is read or written.

Every figure is recomputed from ledger events. What the evidence does not show is None here, and
"not shown" to a reader; an infinite epsilon is "unlimited". `to_json` gives the record that the page
is made from, byte for byte reproducible.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from compliance.assurance import Audit, Software, audits, software
from compliance.budget import cohorts
from compliance.canonical import canonical
from compliance.changes import Changes, compare
from compliance.clauses import Clauses
from compliance.clauses import read as read_clauses
from compliance.cosignatures import cosignatures, parties
from compliance.evidence import Evidence
from compliance.incidents import Occurrence, occurrences
from compliance.ledgers import LedgerEvidence
from compliance.limits import Limits, limits
from compliance.studies import Accountants, StudyView, views
from compliance.summary import Integrity, SiloView, Summary, statement, summarise
from compliance.unprotected import Exposure, exposures
from privacy.digest import Json
from privacy.dp.events import DpSgdEvent, UnprotectedEvent, to_json
from privacy.ledger.facts.audits import refuting
from privacy.ledger.heads.cosigned import Party
from privacy.roster import fingerprint

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
    limits: tuple[Limits, ...]
    software: tuple[Software, ...]
    audits: tuple[Audit, ...]
    ledgers: tuple[Integrity, ...]
    problems: tuple[str, ...]
    changes: Changes | None
    clauses: Clauses

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


def build(
    evidence: Evidence,
    accountants: Accountants,
    made_at: datetime,
    *,
    clauses: Clauses | None = None,
    previous: Mapping[str, Any] | None = None,
) -> Report:
    """Make the report.

    Args:
        evidence: what was found.
        accountants: those at hand.
        made_at: an aware time.
        clauses: which clause each part may serve; ours if left out.
        previous: the record of the last report, `changes.read`.

    Raises:
        CorruptState: a second person's signature under a cap does not hold.
    """
    silos = tuple(SiloView(found.party, cohorts(found, accountants.pld)) for found in evidence.silos())
    by_digest = {found.digest: found.study for found in evidence.studies}
    # Before the second accountant, whose libraries take as much memory as all else.
    bounds = tuple(
        limits(found, cohort, by_digest, accountants.pld)
        for found, silo in zip(evidence.silos(), silos, strict=True)
        for cohort in silo.cohorts
    )
    studies = views(evidence, {silo.name: silo.cohorts for silo in silos}, accountants)
    ledgers = tuple(_integrity(found, evidence) for found in evidence.ledgers)
    bare = any(not entry.body["protected"] for found in evidence.ledgers for entry in found.of_kind("release"))
    refuted = tuple(found.party for found in evidence.silos() if refuting(found.entries))
    summary = summarise(silos, ledgers, bare_releases=bare, refuted=refuted)
    made = Report(
        format=FORMAT,
        made_at=made_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        accountants=accountants.names,
        statement=statement(summary),
        summary=summary,
        silos=silos,
        studies=studies,
        occurrences=occurrences(evidence, {study.digest: study.name for study in studies}),
        ingests=tuple(_ingests(evidence)),
        exposures=exposures(evidence),
        limits=bounds,
        software=software(evidence),
        audits=audits(evidence),
        ledgers=ledgers,
        problems=evidence.problems,
        changes=None,
        clauses=clauses or read_clauses(),
    )
    return replace(made, changes=compare(previous, made.to_json(), evidence)) if previous else made


def _integrity(found: LedgerEvidence, evidence: Evidence) -> Integrity:
    if found.problem:
        return Integrity(
            found.party, found.role, found.place, None, None, None, None, None, None, 0, found.problem, 0, (), (), 0
        )
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
        found.counts.get("witnessed", 0),
        found.proofs,
        cosignatures(Party(found.origin, found.key), found.notes, parties(one.study for one in evidence.studies)),
        len(_others(found, evidence)),
    )


def _others(found: LedgerEvidence, evidence: Evidence) -> set[str]:
    """The other parties of the studies that name this one."""
    rosters = (set(parties([one.study])) for one in evidence.studies)
    return {uri for roster in rosters if found.origin in roster for uri in roster} - {found.origin}


def _pinned(found: LedgerEvidence, evidence: Evidence) -> bool | None:
    """Whether the studies that name this party pin this key for it; None when no study names it."""
    key = found.key.hex()
    pins = []
    for entry in evidence.studies:
        roster = entry.study.roster
        parties = roster.silos if found.role == "silo" else (roster.aggregator,)
        pins += [party.identity == key for party in parties if party.name == found.party]
    return all(pins) if pins else None


def _ingests(evidence: Evidence) -> Iterator[Ingest]:
    for party, entry in ((found.party, entry) for found in evidence.ledgers for entry in found.of_kind("cohort")):
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
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="json"))
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    raise TypeError(f"{type(value).__name__} is not part of a report")

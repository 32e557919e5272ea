"""What is new since the last report: compared with its record, which the evidence then holds as a file.

A record of another form is not guessed at. The ledgers of the last report must begin those of this one: whether they
do is said per ledger, as failing it means that history was rewritten.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compliance.canonical import canonical, digest
from compliance.evidence import Evidence
from compliance.ledgers import LedgerEvidence
from privacy.errors import CollegiumError, ConfigError
from privacy.ledger.reader import root_at

MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Grown:
    """A ledger then and now; `extends` is whether it still begins with what the last report saw."""

    party: str
    entries_then: int | None
    entries_now: int | None
    extends: bool | None


@dataclass(frozen=True)
class Changed:
    """Something that was one way then and is another way now; empty or None where it was not there."""

    what: str
    then: str
    now: str


@dataclass(frozen=True)
class Changes:
    """Since the report with this digest (hex)."""

    digest: str
    made_at: str
    ledgers: tuple[Grown, ...]
    changed: tuple[Changed, ...]


def read(path: Path, report_format: str) -> dict[str, Any]:
    """The record of a last report.

    Raises:
        ConfigError: it is not one, or not as it was written.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        record = json.loads(data) if len(data) <= MAX_BYTES else None
        if isinstance(record, dict) and record.get("format") == report_format and canonical(record) == data:
            return record
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path.name} is not the record of a report, or not as it was written") from error
    raise ConfigError(f"{path.name} is not the record of a report, or not as it was written")


def compare(previous: Mapping[str, Any], now: Mapping[str, Any], evidence: Evidence) -> Changes:
    """What is new.

    Args:
        previous: the last record.
        now: the record that is being made, without its own changes.
        evidence: what it is made from.
    """
    then = {ledger["party"]: ledger for ledger in previous["ledgers"]}
    here = {found.party: found for found in evidence.ledgers}
    grown = [_grown(party, then.get(party), here.get(party), evidence.directory) for party in sorted({*then, *here})]
    before, after = _facts(previous), _facts(now)
    names = dict.fromkeys([*before, *after])
    changed = [
        Changed(name, before.get(name, ""), after.get(name, ""))
        for name in names
        if before.get(name, "") != after.get(name, "")
    ]
    return Changes(digest(dict(previous)), str(previous["made_at"]), tuple(grown), tuple(changed))


def _grown(party: str, then: Mapping[str, Any] | None, now: LedgerEvidence | None, directory: Path) -> Grown:
    size_then = then["entries"] if then else None
    size_now = now.size if now and not now.problem else None
    return Grown(party, size_then, size_now, _extends(then, now, directory) if then and now else None)


def _extends(then: Mapping[str, Any], now: LedgerEvidence, directory: Path) -> bool | None:
    if then["entries"] is None or now.problem:
        return None
    if then["entries"] > now.size:
        return False
    try:
        return root_at(directory / now.place, int(then["entries"])).hex() == str(then["root"])
    except CollegiumError:
        return None


def _facts(record: Mapping[str, Any]) -> dict[str, str]:
    """What a reader wants to know of when it changes, in words."""
    facts: dict[str, str] = {}
    for silo in record["silos"]:
        for cohort in silo["cohorts"]:
            name = f"{silo['name']}, cohort {cohort['names'][0]}"
            facts[f"{name}: cap"] = _pair(cohort["cap"], cohort["delta"])
            facts[f"{name}: epsilon spent"] = _figure(cohort["spent"])
            facts[f"{name}: rounds charged"] = str(cohort["rounds"])
    for study in record["studies"]:
        facts[f"study {study['name']} ({study['digest'][:12]})"] = "in the evidence"
        for line in study.get("transport", ()):
            facts[f"line of {line['silo']}, study {study['name']}, by {line['party']}"] = f"{line['tls']} TLS"
        for export in study["exports"]:
            facts[f"model exported by {export['silo']}, study {study['name']}"] = export["model_digest"]
    for ingest in record["ingests"]:
        facts[f"{ingest['silo']}, cohort {ingest['cohort']}: patients"] = str(ingest["patients"])
    for one in record["software"]:
        facts[f"software of {one['party']}"] = f"{one['version']}, code {one['code'][:12]}"
    for one in record["audits"]:
        bound = f"{one['outcome']}, epsilon at least {_figure(one['lower_bound'])}"
        facts[f"attack at {one['silo']}, {one['what']}"] = f"{bound}, at {one['time'][:16]}"
    facts["refusals, incidents and unfinished rounds"] = str(sum(one["count"] for one in record["occurrences"]))
    facts["accountants"] = "; ".join(sorted(record["accountants"].values()))
    return facts


def _pair(epsilon: Any, delta: Any) -> str:
    return "" if epsilon is None else f"epsilon {_figure(epsilon)} at delta {_figure(delta)}"


def _figure(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.6g}"

"""Whether a report can be believed: a pure function of its folder, for a person who trusts nobody; offline.

Everything is computed again from the evidence in the folder and compared with what the report says. What no file can
show, such as whose key a key is, is answered by the anchors that the person names, or said not to be shown.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from compliance import bundle
from compliance.changes import read as read_previous
from compliance.checks import conduct, cosignatures, folder, ledgers, rounds
from compliance.checks.check import Check, Outcome, attempt, conclude
from compliance.checks.figures import accountants_used, figures
from compliance.clauses import Clauses
from compliance.evidence import Evidence, gather
from compliance.report import FORMAT, build
from compliance.studies import Accountants
from privacy.digest import Json
from privacy.errors import CollegiumError, CorruptState

__all__ = ["Anchors", "Check", "Outcome", "verify"]


@dataclass(frozen=True)
class Anchors:
    """Fingerprints that the person knows from elsewhere.

    Attributes:
        consortium_key: of the key that signs the consortium's studies, or None.
        signers: of the keys of the people who must have signed the report.
    """

    consortium_key: str | None = None
    signers: tuple[str, ...] = ()


def verify(directory: Path, anchors: Anchors, accountants: Accountants) -> tuple[Check, ...]:
    """All checks of a report's folder, in the order in which one rests on another.

    Raises:
        StorageError: the disk refuses.
    """
    return tuple(_checks(directory, anchors, accountants))


def _checks(directory: Path, anchors: Anchors, accountants: Accountants) -> Iterator[Check]:
    yield folder.files(directory)
    record = None
    try:
        record = folder.read_record(directory)
        yield conclude("record", [], seen=record.digest)
    except CollegiumError as error:
        yield conclude("record", [str(error)])
    if record:
        opened = record
        yield attempt("signatures", lambda: folder.signatures(directory, opened, anchors.signers))
    yield attempt("consortium's key", lambda: folder.studies(directory, anchors.consortium_key))
    checks, sound = ledgers.read_all(directory)
    yield from checks
    try:
        evidence = gather(directory / bundle.EVIDENCE)
    except CollegiumError as error:
        yield conclude("evidence", [str(error)])
        return
    yield conclude("studies", evidence.problems, seen=f"{len(evidence.studies)} signed")
    yield ledgers.keys(sound, evidence.studies)
    yield ledgers.witnesses(sound)
    yield attempt("cosignatures", lambda: cosignatures.cosigned(directory, sound, evidence.studies))
    yield rounds.rounds(sound, evidence.studies)
    yield attempt("order", lambda: conduct.order(sound))
    yield attempt("consents", lambda: conduct.consents(sound))
    yield attempt("caps", lambda: conduct.caps(sound, accountants.pld))
    if seen := ledgers.previous(directory, sound, _compared_with(record)):
        yield seen
    if record:
        yield from _record(directory, record, evidence, accountants)


def _compared_with(record: folder.Record | None) -> str | None:
    """The digest that a record has of the last report; empty if it has none, None where there is no record."""
    if record is None:
        return None
    changes = record.content.get("changes")
    return str(changes.get("digest")) if isinstance(changes, dict) else ""


def _record(directory: Path, record: folder.Record, evidence: Evidence, accountants: Accountants) -> Iterator[Check]:
    def again() -> Check:
        return figures(record.content, _again(directory, record, evidence, accountants), accountants)

    made = attempt("figures", again)
    yield made
    if made.outcome is Outcome.FAILED:
        # A record of another form than ours would not be a page at all.
        yield conclude("page", ["it shows a record that is not what the evidence gives"])
        return
    yield accountants_used(record.content, accountants)
    yield attempt("page", lambda: folder.page(directory, record))
    yield attempt("print", lambda: folder.printed(directory, record))


def _again(directory: Path, record: folder.Record, evidence: Evidence, accountants: Accountants) -> dict[str, Json]:
    try:
        clauses = Clauses.model_validate_json(json.dumps(record.content.get("clauses")))
    except ValidationError as error:
        raise CorruptState("the clauses in the record do not have their form", code="report.record") from error
    path = directory / bundle.PREVIOUS
    # What is there and no file, the check of the previous report says.
    previous = read_previous(path, FORMAT) if record.content.get("changes") and path.is_file() else None
    return build(evidence, accountants, record.made_at, clauses=clauses, previous=previous).to_json()

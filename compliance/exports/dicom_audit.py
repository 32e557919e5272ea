"""Ledger entries as DICOM audit messages (PS3.15 A.5), for the hospital's audit record repository.

Only what the profile has an event for is told. The object of an event is a cohort or a round, named as the ledger names
it; no patient and no study UID, for a ledger holds none. Codes: PS3.16, DCM. Each message is validated against the
standard's schema (data/dicom-audit-message.rng) before it is given out. It sends nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from lxml import etree

from compliance.evidence import gather
from privacy.errors import CorruptState
from privacy.ledger.entry import Entry
from privacy.ledger.reader import Reading

SCHEMA: Final = Path(__file__).parents[1] / "data" / "dicom-audit-message.rng"
_SECURITY = ("110113", "Security Alert")
_UNPRINTABLE: Final = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Event:
    """What an entry is to the profile: event, what is done, type if it has one, outcome (0, 4, 8 or 12)."""

    code: tuple[str, str]
    action: str
    type: tuple[str, str] | None = None
    outcome: str = "0"


@dataclass(frozen=True)
class Message:
    """An audit message: XML on one line, when it happened (RFC 3339, UTC) and the outcome (0, 4, 8 or 12)."""

    time: str
    outcome: str
    xml: str


_CONFIGURED = Event(_SECURITY, "E", ("110129", "Security Configuration"))
EVENTS = {
    "cohort": Event(("110107", "Import"), "C"),
    "spent": Event(("110106", "Export"), "R"),
    "release": Event(("110106", "Export"), "R"),
    "exported": Event(("110106", "Export"), "R"),
    "log_read": Event(("110101", "Audit Log Used"), "R"),
    "enrolled": _CONFIGURED,
    "approved": _CONFIGURED,
    "budget_set": _CONFIGURED,
    "key_rotated": _CONFIGURED,
    "approval_revoked": _CONFIGURED,
    "cohort_closed": _CONFIGURED,
    "decommissioned": _CONFIGURED,
    "refused": Event(_SECURITY, "E", ("110132", "Use of Restricted Function"), "4"),
    "incident": Event(_SECURITY, "E", ("110132", "Use of Restricted Function"), "8"),
}


def messages(evidence: Path) -> Iterator[Message]:
    """All messages of all verified hospitals' ledgers in a folder, in the order of their ledgers.

    Raises:
        ConfigError: there is no ledger in it.
        CorruptState: an entry makes a message that the schema refuses.
    """
    for silo in gather(evidence).silos():
        ledger = Reading(evidence / silo.place, facts_only=True)
        for entry in ledger:
            if event := EVENTS.get(entry.kind):
                made = _message(ledger.origin, entry, event)
                validate(made)
                yield Message(entry.time, event.outcome, etree.tostring(made, encoding="unicode"))


def validate(message: Any) -> None:
    """Check an element against the standard's schema.

    Raises:
        CorruptState: it has another form.
    """
    if not _schema().validate(message):
        raise CorruptState("an entry makes no audit message of the standard's form", code="audit.form")


@cache
def _schema() -> Any:
    return etree.RelaxNG(etree.parse(SCHEMA))


def _message(origin: str, entry: Entry, event: Event) -> Any:
    root = etree.Element("AuditMessage")
    happened = etree.SubElement(
        root,
        "EventIdentification",
        EventActionCode=event.action,
        EventDateTime=entry.time,
        EventOutcomeIndicator=event.outcome,
    )
    _coded(happened, "EventID", event.code)
    if event.type:
        _coded(happened, "EventTypeCode", event.type)
    person = _printable(str(entry.body.get("by", "")))
    etree.SubElement(root, "ActiveParticipant", UserID=origin, UserIsRequestor="false" if person else "true")
    if person:
        etree.SubElement(root, "ActiveParticipant", UserID=person, UserIsRequestor="true")
    etree.SubElement(root, "AuditSourceIdentification", AuditSourceID=origin)
    target = etree.SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=f"{origin}/ledger/{entry.sequence}",
        ParticipantObjectTypeCode="2",
        ParticipantObjectTypeCodeRole="13",
    )
    # RFC 3881, type 12: a URI.
    _coded(target, "ParticipantObjectIDTypeCode", ("12", "URI"), "RFC-3881")
    named = [f"{key} {entry.body[key]}" for key in ("cohort", "round", "code") if key in entry.body]
    etree.SubElement(target, "ParticipantObjectName").text = _printable(", ".join([entry.kind, *named]))
    return root


def _coded(parent: Any, name: str, code: tuple[str, str], system: str = "DCM") -> None:
    attributes = {"csd-code": code[0], "codeSystemName": system, "originalText": code[1]}
    etree.SubElement(parent, name, attributes)


def _printable(text: str) -> str:
    """Text for one line of XML: what cannot stand there, and what would end the line, is replaced."""
    return "".join(letter if letter.isprintable() else _UNPRINTABLE for letter in text)

"""Ledger entries as DICOM audit messages (PS3.15 A.5), for the hospital's audit record repository: a message a line.

Only what the profile has an event for is told. The object of an event is a cohort or a round, named as the ledger names
it; no patient and no study UID, for a ledger holds none. Codes: PS3.16, DCM. It sends nothing.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from compliance.evidence import gather
from privacy.ledger.entry import Entry
from privacy.ledger.reader import Reading

_SECURITY = ("110113", "Security Alert")


@dataclass(frozen=True)
class Event:
    """What an entry is to the profile: event, what is done, type if it has one, outcome (0, 4, 8 or 12)."""

    code: tuple[str, str]
    action: str
    type: tuple[str, str] | None = None
    outcome: str = "0"


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
    "refused": Event(_SECURITY, "E", ("110132", "Use of Restricted Function"), "4"),
    "incident": Event(_SECURITY, "E", ("110132", "Use of Restricted Function"), "8"),
}


def messages(evidence: Path) -> str:
    """All messages of all verified hospitals' ledgers in a folder, in the order of their ledgers.

    Raises:
        ConfigError: there is no ledger in it.
    """
    ledgers = [Reading(evidence / silo.place, facts_only=True) for silo in gather(evidence).silos()]
    return "".join(f"{message}\n" for ledger in ledgers for message in _of(ledger))


def _of(ledger: Reading) -> Iterator[str]:
    for entry in ledger:
        if event := EVENTS.get(entry.kind):
            yield ET.tostring(_message(ledger.origin, entry, event), encoding="unicode")


def _message(origin: str, entry: Entry, event: Event) -> ET.Element:
    root = ET.Element("AuditMessage")
    happened = ET.SubElement(
        root,
        "EventIdentification",
        EventActionCode=event.action,
        EventDateTime=entry.time,
        EventOutcomeIndicator=event.outcome,
    )
    _coded(happened, "EventID", event.code)
    if event.type:
        _coded(happened, "EventTypeCode", event.type)
    person = str(entry.body.get("by", ""))
    ET.SubElement(root, "ActiveParticipant", UserID=origin, UserIsRequestor="false" if person else "true")
    if person:
        ET.SubElement(root, "ActiveParticipant", UserID=person, UserIsRequestor="true")
    ET.SubElement(root, "AuditSourceIdentification", AuditSourceID=origin)
    target = ET.SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=f"{origin}/ledger/{entry.sequence}",
        ParticipantObjectTypeCode="2",
        ParticipantObjectTypeCodeRole="13",
    )
    # RFC 3881, type 12: a URI.
    _coded(target, "ParticipantObjectIDTypeCode", ("12", "URI"), "RFC-3881")
    named = [f"{key} {entry.body[key]}" for key in ("cohort", "round", "code") if key in entry.body]
    ET.SubElement(target, "ParticipantObjectName").text = ", ".join([entry.kind, *named])
    return root


def _coded(parent: ET.Element, name: str, code: tuple[str, str], system: str = "DCM") -> None:
    attributes = {"csd-code": code[0], "codeSystemName": system, "originalText": code[1]}
    ET.SubElement(parent, name, attributes)

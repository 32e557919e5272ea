"""`collegium-silo what-leaves`: every class of message that left for the aggregator, from the log that counts them.

It reads only, also while a silo runs. Approvals are looked up in the verified ledger: the newest for the study that
was there when the message left. What the archive and this silo say to each other stays in the hospital's own network
and is not in the log.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from privacy import console
from privacy.console import AsJson
from privacy.digest import Json
from privacy.errors import ConfigError
from privacy.ledger.entry import Entry
from privacy.ledger.reader import read as read_ledger
from silo_node.egress.classes import CLASSES, Described
from silo_node.egress.log import Sent
from silo_node.egress.log import read as read_log

_UNDESCRIBED = Described("a class of message that this version does not describe")
INSIDE = (
    "Not in this list, as it stays in the hospital's network: what 'collegium-silo pull' and 'pacs echo' ask the "
    "image archive."
)


@dataclass
class Left:
    """All messages of one class for one study under one approval."""

    name: str
    study: str
    approval: str
    entry: Entry | None
    messages: int
    size: int
    first: datetime
    last: datetime

    def add(self, sent: Sent) -> None:
        """One more message."""
        self.messages += 1
        self.size += sent.size
        self.first, self.last = min(self.first, sent.at), max(self.last, sent.at)


def collect(
    log: Iterable[Sent], entries: Sequence[Entry], digests: frozenset[str] | None, since: datetime | None
) -> list[Left]:
    """The messages by study, approval and class, in the order of first leaving.

    Args:
        log: what left.
        entries: the ledger.
        digests: only studies with these digests; None for all.
        since: only what left then or later.
    """
    approvals = [entry for entry in entries if entry.kind == "approved"]
    found: dict[tuple[str, str, str, int], Left] = {}
    for sent in log:
        if (since is not None and sent.at < since) or (digests is not None and sent.study not in digests):
            continue
        held = [entry for entry in approvals if entry.body["study_digest"] == sent.study and entry.at <= sent.at]
        entry = held[-1] if held else None
        key = (sent.study, sent.approval, sent.name, entry.sequence if entry else -1)
        if key not in found:
            found[key] = Left(sent.name, sent.study, sent.approval, entry, 0, 0, sent.at, sent.at)
        found[key].add(sent)
    return list(found.values())


def what_leaves(
    state: Annotated[Path, typer.Option("--state", help="State directory of this silo.")],
    study: Annotated[str | None, typer.Option(help="Only this study: its name, or 8 digits of its digest.")] = None,
    since: Annotated[str | None, typer.Option(help="Only from this day or instant on (UTC), as 2026-03-01.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every class of message that left this hospital: when, how many bytes, under which approval.

    Example: collegium-silo what-leaves --state /var/lib/collegium --study chest --since 2026-03-01
    """
    folder = state / "ledger"
    entries = read_ledger(folder).entries if (folder / "origin.json").exists() else ()
    left = collect(read_log(state), entries, _digests(entries, study), _instant(since))
    if as_json:
        console.emit({"classes": [_json(one) for one in left], "bytes": sum(one.size for one in left)}, as_json=True)
        return
    if not left:
        print("nothing has left this hospital" + (" in that choice" if study or since else ""))
    for number in dict.fromkeys((one.study, one.entry.sequence if one.entry else -1) for one in left):
        group = [one for one in left if (one.study, one.entry.sequence if one.entry else -1) == number]
        print(_heading(group[0]))
        for one in group:
            told = CLASSES.get(one.name, _UNDESCRIBED)
            print(
                f"  {one.size:>14,} bytes  {one.messages:>7} messages  {one.first:%Y-%m-%d %H:%M} to "
                f"{one.last:%Y-%m-%d %H:%M} UTC  {one.name}"
            )
            print(f"      {told.what}" + (f"; of patients: {told.patients}" if told.patients else ""))
    print(INSIDE)


def _heading(one: Left) -> str:
    if not one.study:
        return "of no study"
    if one.entry is None:
        return f"study {one.study[:16]}, under an approval that the ledger does not hold"
    body = one.entry.body
    return (
        f"study {body['study']} ({one.study[:16]}), cohort {body['cohort']}, approved by {body['by']} on "
        f"{one.entry.at:%Y-%m-%d %H:%M} UTC (ledger entry {one.entry.sequence})"
    )


def _json(one: Left) -> Json:
    told = CLASSES.get(one.name, _UNDESCRIBED)
    body = one.entry.body if one.entry else {}
    return {
        "class": one.name,
        "what": told.what,
        "of_patients": told.patients,
        "bytes": one.size,
        "messages": one.messages,
        "first": one.first.isoformat(),
        "last": one.last.isoformat(),
        "study_digest": one.study,
        "study": body.get("study"),
        "cohort": body.get("cohort"),
        "approval": one.approval,
        "approved_by": body.get("by"),
        "ledger_entry": one.entry.sequence if one.entry else None,
    }


def _digests(entries: Sequence[Entry], study: str | None) -> frozenset[str] | None:
    if study is None:
        return None
    known = {(str(e.body["study"]), str(e.body["study_digest"])) for e in entries if e.kind == "approved"}
    found = {digest for name, digest in known if name == study or (len(study) >= 8 and digest.startswith(study))}
    if not found:
        raise ConfigError("no study of this name or digest was approved here; 'ledger show --kind approved' lists them")
    return frozenset(found)


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError("--since takes a day or an instant, for example 2026-03-01 or 2026-03-01T12:00") from error
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)

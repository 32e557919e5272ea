"""`collegium-aggregator status`: who is in which phase, how far, how long, what is awaited from whom.

Reads what the running aggregator wrote, its ledger and its certificate, and disturbs nothing: no lock, no call.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from aggregator.renewals import waiting
from aggregator.roster_file import STATEMENT_FILE
from privacy.channel import roster_statement
from privacy.channel.identity import Identity
from privacy.channel.statement_memory import StatementMemory
from privacy.console import AsJson
from privacy.digest import Json
from privacy.ledger.entry import Entry
from privacy.ledger.reader import read as read_ledger
from privacy.operations import live
from privacy.operations.watching import Watch, duration, show


def status(
    state: Annotated[Path, typer.Option("--state", help="State directory of this aggregator.")],
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """How far the study is, who is awaited, who dropped out. Does not disturb the running program.

    Example: collegium-aggregator status --state /var/lib/collegium --watch
    """
    show(lambda: collect(state, datetime.now(UTC)), text, watch=watch, as_json=as_json)


def collect(state: Path, now: datetime) -> dict[str, Json]:
    """Everything that is known, as plain data.

    Raises:
        IdentityError: not enrolled. CorruptState: ledger or status file is damaged.
    """
    identity = Identity.load(state / "identity")
    entries = read_ledger(state / "ledger").entries if (state / "ledger" / "origin.json").exists() else ()
    found = live.read(state)
    said: dict[str, Json] = dict(found.said) if found else {}
    since = said.get("since")
    in_phase = (now - datetime.fromisoformat(since)).total_seconds() if isinstance(since, str) else None
    left = said.get("seconds_left")
    if found and isinstance(left, int | float):
        said["seconds_left"] = max(0.0, round(left - (now - found.at).total_seconds(), 1))
    return {
        "aggregator": identity.member.name,
        "running": bool(found and found.running),
        "said_at": found.at.isoformat() if found else None,
        "seconds_in_phase": None if in_phase is None else round(in_phase, 1),
        "certificate_days_left": (identity.certificate.not_valid_after_utc - now).days,
        "statement": _statement(state, identity, now),
        "renewals": [
            {"silo": one.silo, "since": one.since.isoformat(), "answered": one.answered, "mend": one.mend()}
            for one in waiting(state)
        ],
        **said,
        **past(entries, said.get("silos")),
    }


def past(entries: Sequence[Entry], names: Json) -> dict[str, Json]:
    """What the ledger says of the newest study: rounds by how they ended, and in which sums each silo was.

    Silos are called by `names` where the running program told them, else by their number on the roster.
    """
    roster = names if isinstance(names, list) else []
    studies = [str(entry.body["study_digest"]) for entry in entries if entry.kind == "study_published"]
    of = [entry for entry in entries if studies and entry.body.get("study_digest") == studies[-1]]
    ends = {_round(entry): str(entry.body["outcome"]) for entry in of if entry.kind == "closed"}
    sums = {_round(entry): entry.body["silos"] for entry in of if entry.kind == "survivors"}
    members = {
        number: [index for index in silos if isinstance(index, int)]
        for number, silos in sums.items()
        if isinstance(silos, list)
    }
    last: dict[int, int] = {}
    for number, silos in sorted(members.items()):
        last |= dict.fromkeys(silos, number)
    in_sums: Json = [
        {
            "silo": roster[index - 1] if index <= len(roster) else index,
            "last_sum": number,
            "missed": sum(index not in silos for silos in members.values()),
        }
        for index, number in sorted(last.items())
    ]
    return {
        "study_digest": studies[-1] if studies else None,
        "rounds_closed": sum(end == "closed" for end in ends.values()),
        "rounds_abandoned": sum(end == "abandoned" for end in ends.values()),
        "incidents": sum(entry.kind == "incident" for entry in entries),
        "in_sums": in_sums,
    }


def text(shown: Mapping[str, Json]) -> str:
    """The same for a person."""
    lines = [f"aggregator    {shown['aggregator']}, " + ("running" if shown["running"] else "NOT running")]
    if "phase" in shown:
        lines += [
            f"study         {shown['study']}, round {shown['round']} of {shown['rounds']}",
            f"phase         {shown['phase']}, for {duration(shown['seconds_in_phase'])}" + _ends(shown["seconds_left"]),
            f"done          {_names(shown['done'])}",
            f"sending       {_names(shown['begun'])}",
            f"awaited       {_names(shown['awaited'])}"
            + (f" ({shown['needed']} silos are needed)" if shown["awaited"] else ""),
        ]
        if shown.get("halted"):
            lines.append(f"HALTED        {shown['halted']}")
        if shown["revoked"]:
            lines.append(f"revoked       {_names(shown['revoked'])}")
    lines += [
        f"rounds        {shown['rounds_closed']} closed, {shown['rounds_abandoned']} abandoned",
        f"incidents     {shown['incidents']} in the ledger",
        f"certificate   {shown['certificate_days_left']} days left",
        f"statement     {_held(shown['statement'])}",
    ]
    for one in shown["renewals"] if isinstance(shown["renewals"], list) else ():
        if isinstance(one, dict):
            lines.append(f"renewal       {one['silo']} asks since {_minute(one['since'])}; {one['mend']}")
    for one in shown["in_sums"] if isinstance(shown["in_sums"], list) else ():
        if isinstance(one, dict) and one["missed"]:
            lines.append(
                f"dropout       silo {one['silo']}: last in the sum of round {one['last_sum']}, missed {one['missed']}"
            )
    return "\n".join(lines)


def _statement(state: Path, identity: Identity, now: datetime) -> Json:
    """The newest roster statement that was taken, or None."""
    memory = StatementMemory(state / STATEMENT_FILE, identity.member.consortium, identity.study_key)
    if memory.newest is None:
        return None
    until = roster_statement.at(memory.newest.expires)
    return {"serial": memory.newest.serial, "expires": memory.newest.expires, "days_left": (until - now).days}


def _held(statement: Json) -> str:
    if not isinstance(statement, dict):
        return "none yet"
    said = f"serial {statement['serial']}, "
    if isinstance(left := statement["days_left"], int) and left >= 0:
        return f"{said}{left} days left"
    return (
        f"{said}EXPIRED on {statement['expires']}; no round begins before the consortium runs "
        "'collegium-consortium roster-statement' and its file lies here"
    )


def _minute(time: Json) -> str:
    return f"{datetime.fromisoformat(str(time)):%Y-%m-%d %H:%M} UTC"


def _round(entry: Entry) -> int:
    return int(str(entry.body["round"]))


def _names(names: Json) -> str:
    return ", ".join(str(name) for name in names) or "none" if isinstance(names, list) else "none"


def _ends(left: Json) -> str:
    return f", ends in {duration(left)} at the latest" if left is not None else ""

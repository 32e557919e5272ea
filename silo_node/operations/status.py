"""`collegium-silo status`: in which phase this silo is, how far, how long, what it waits for, and what is left.

Reads what the running silo wrote, its ledger, its policy and its certificate, and disturbs nothing: no lock, no call.
What it waits for is told as this silo sees it; only the aggregator knows which hospital is late.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from privacy import study as studies
from privacy.channel import renewal
from privacy.console import AsJson
from privacy.digest import Json
from privacy.ledger.entry import Entry
from privacy.ledger.facts.closing import closed
from privacy.ledger.reader import read as read_ledger
from privacy.operations import live
from privacy.operations.watching import Watch, duration, show
from silo_node import configuration
from silo_node.rounds import participation
from silo_node.state import StateDirectory, StudyDirectory

AWAITED: Mapping[str, str] = {
    "asking witnesses": "the aggregator, which is asked what it knows of this silo's ledger",
    "keys": "the study's key, from the steward or any silo that has it",
    "handing on the key": "the first silo that asks for the study's key, which this one made as its steward",
    "exchanging keys": "the other silos' keys",
    "waiting for a roster statement": "the consortium's newest roster statement, from the aggregator",
    "waiting for the slot": "the instant at which uploads may leave",
    "sending": "the aggregator, which takes the upload",
    "waiting": "the other silos' uploads, or the aggregator's deadline",
    "opening": "enough silos' shares",
    "waiting for a snapshot": "another silo that has the present model",
}
"""By phase, what a silo waits for; in the others it is busy itself."""
FINISHED, STOPPED = "finished", "stopped"
"""The phases after which its process ends."""


def status(
    state: Annotated[Path, typer.Option("--state", help="State directory of this silo.")],
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """How far this silo is, what it waits for, and what is left of budget and certificate. Does not disturb it.

    Example: collegium-silo status --state /var/lib/collegium --watch
    """
    show(lambda: collect(StateDirectory(state), datetime.now(UTC)), text, watch=watch, as_json=as_json)


def collect(directory: StateDirectory, now: datetime) -> dict[str, Json]:
    """Everything that is known, as plain data.

    Raises:
        IdentityError: not enrolled. ConfigError: no policy. CorruptState: ledger or status file is damaged.
    """
    identity = directory.identity()
    folder = directory.root / "ledger"
    entries = read_ledger(folder).entries if (folder / "origin.json").exists() else ()
    found = live.read(directory.root)
    asked_at = renewal.unanswered_since(directory.identity_folder)
    said: dict[str, Json] = dict(found.said) if found else {}
    since = said.get("since")
    in_phase = (now - datetime.fromisoformat(since)).total_seconds() if isinstance(since, str) else None
    return {
        "silo": identity.member.name,
        "running": bool(found and found.running),
        "said_at": found.at.isoformat() if found else None,
        "seconds_in_phase": None if in_phase is None else round(in_phase, 1),
        **said,
        "awaited": AWAITED.get(str(said.get("phase"))),
        "certificate_days_left": (identity.certificate.not_valid_after_utc - now).days,
        "renewal_asked_at": asked_at.isoformat() if asked_at else None,
        "studies": [
            _study(directory.study(name), name, entries, identity.study_key) for name in directory.approved_studies()
        ],
        "budgets": _budgets(directory, entries),
    }


def _study(folder: StudyDirectory, name: str, entries: Sequence[Entry], consortium_key: bytes) -> Json:
    approvals = [entry for entry in entries if entry.kind == "approved" and entry.body["study"] == name]
    digest = approvals[-1].body["study_digest"] if approvals else None
    ends = [entry for entry in entries if entry.kind == "closed" and entry.body["study_digest"] == digest]
    sums = participation.lists(entries, str(digest))
    missing: tuple[str, ...] = ()
    if sums:
        roster = studies.load_signed(folder.study_file, consortium_key).roster
        missing = participation.absent(roster, sums[max(sums)])
    return {
        "study": name,
        "cohort": approvals[-1].body["cohort"] if approvals else None,
        "rounds_closed": sum(entry.body["outcome"] == "closed" for entry in ends),
        "rounds_abandoned": sum(entry.body["outcome"] == "abandoned" for entry in ends),
        "newest_round": max((int(str(entry.body["round"])) for entry in ends), default=0),
        "missing_in_last_sum": list(missing),
        "halted": folder.halted.exists(),
        "rolled_back": folder.rolled_back.exists(),
    }


def _budgets(directory: StateDirectory, entries: Sequence[Entry]) -> list[Json]:
    from privacy.dp import accounting
    from silo_node.approvals import costs

    guard = costs.budget_filter(configuration.read(directory.root).policy)
    shown: list[Json] = []
    ended = closed(entries)
    for cohort in dict.fromkeys(str(entry.body["cohort"]) for entry in entries if entry.kind == "cohort"):
        account = next(guard.accounts(tuple(entries), cohort))
        spent = accounting.epsilon_pld(account.events, account.cap.delta)
        known = math.isfinite(spent)
        shown.append(
            {
                "cohort": cohort,
                "cap": account.cap.epsilon,
                "delta": account.cap.delta,
                "spent": spent if known else None,
                "left": max(0.0, account.cap.epsilon - spent) if known else 0.0,
                "closed": cohort in ended,
            }
        )
    return shown


def text(shown: Mapping[str, Json]) -> str:
    """The same for a person."""
    running = "ending" if shown.get("phase") in (FINISHED, STOPPED) else "running"
    lines = [f"silo          {shown['silo']}, " + (running if shown["running"] else "NOT running")]
    if "phase" in shown:
        lines.append(f"study         {shown['study']}, round {shown['round']} of {shown['rounds']}")
        lines.append(f"phase         {shown['phase']}, for {duration(shown['seconds_in_phase'])}")
        lines.append(f"awaited       {_awaited(shown)}")
    if shown["running"] and isinstance(since := shown.get("no_answer_since"), str):
        at = datetime.fromisoformat(since)
        lines.append(f"no answer     of the aggregator since {at:%Y-%m-%d %H:%M:%S} UTC ({shown['no_answer_code']})")
    for one in _dicts(shown["studies"]):
        words = [f"round {one['newest_round']} was the newest, {one['rounds_abandoned']} abandoned"]
        if isinstance(missing := one["missing_in_last_sum"], list) and missing:
            words.append(f"not in the last sum: {', '.join(map(str, missing))}")
        words += ["HALTED after a refused sum"] if one["halted"] else []
        words += ["the ledger is older than witnesses know it"] if one["rolled_back"] else []
        lines.append(f"approved      {one['study']} on cohort {one['cohort']}: {'; '.join(words)}")
    for one in _dicts(shown["budgets"]):
        spent = f"{one['spent']:.2f}" if isinstance(one["spent"], float) else "unlimited"
        ended = "; closed for good" if one["closed"] else ""
        lines.append(f"budget        cohort {one['cohort']}: epsilon {spent} of {one['cap']} spent{ended}")
    waits = ""
    if isinstance(asked_at := shown["renewal_asked_at"], str):
        since = f"{datetime.fromisoformat(asked_at):%Y-%m-%d %H:%M} UTC"
        waits = f"; renewal asked since {since}, unanswered: the aggregator's operator carries it to the consortium"
    lines.append(f"certificate   {shown['certificate_days_left']} days left{waits}")
    return "\n".join(lines)


def _awaited(shown: Mapping[str, Json]) -> str:
    if shown["phase"] == FINISHED:
        return "nothing: the study has ended"
    if shown["phase"] == STOPPED and shown["running"]:
        return "nothing: it stops here, as a person wanted; 'collegium-silo run' goes on after this round"
    if not shown["running"]:
        return "a start: the silo's process has ended ('collegium-silo run')"
    return str(shown["awaited"] or "nothing: this silo is busy")


def _dicts(values: Json) -> list[dict[str, Json]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []

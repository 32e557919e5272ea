"""`ledger fsck|show|proof|report|erase`, the same for every program that keeps a ledger in its state directory.

Reading the ledger is an entry of it, written before anything is shown. While another process of this
party writes the ledger, a reading is noted beside it and becomes an entry later (`readings`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from privacy import attribution, console, durable
from privacy.attribution import By, Reason
from privacy.channel.identity import CONSORTIUM_FILE, IDENTITY_FILE, Identity
from privacy.channel.parties import parties_of
from privacy.console import AsJson
from privacy.digest import Json
from privacy.errors import AlreadyRunning, ConfigError, CorruptState, StudyError
from privacy.ledger import readings
from privacy.ledger.details import SideStore
from privacy.ledger.entry import DETAILS, KINDS, Entry
from privacy.ledger.facts.ending import decommissioned, refuse_decommissioned
from privacy.ledger.facts.reporting import read_report
from privacy.ledger.fsck import Examination, Finding, examine
from privacy.ledger.heads import note, proof
from privacy.ledger.heads.cosigned import Party
from privacy.ledger.narrative import Told, tell
from privacy.ledger.reader import read
from privacy.ledger.store import Ledger, utc_now
from privacy.study import load_signed

State = Annotated[Path, typer.Option("--state", help="State directory of this party.")]
FOLDER = "ledger"


def group(program: str) -> typer.Typer:
    """The commands as those of `program`."""
    app = typer.Typer(no_args_is_help=True, help="Check, read and prove this party's own ledger.")
    example = f"Example: {program} ledger"
    app.command("fsck", epilog=f"{example} fsck --state /var/lib/collegium")(fsck)
    app.command("show", epilog=f"{example} show --kind incident --last 20 --state /var/lib/collegium")(show)
    app.command("proof", epilog=f"{example} proof 12 -o entry-12.tlog-proof --state /var/lib/collegium")(prove)
    app.command("report", epilog=f'{example} report report --by "Ada Roe" --state /var/lib/collegium')(report)
    app.command("erase", epilog=f'{example} erase 12 --reason "staff member left" --state /var/lib/collegium')(erase)
    return app


def fsck(
    state: State,
    study: Annotated[
        list[Path] | None,
        typer.Option(
            help="Signed study whose parties' cosignatures to check besides; repeat.", show_default="approved"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every byte of the ledger's folder and say where anything is wrong. Changes nothing."""
    identity = _identity(state)
    owner = (identity.member.uri, identity.keys.public_identity) if identity else None
    seen = examine(state / FOLDER, owner, tuple(_parties(state, identity, study or ())))
    shown: dict[str, Json] = {
        "entries": seen.entries,
        "acknowledged": seen.acknowledged,
        "root": seen.root,
        "details": seen.details_kept,
        "details_erased": seen.details_erased,
        "noted_readings": seen.readings,
        "cosigned_files": seen.heads,
        "cosigned_files_unchecked": seen.heads_unknown,
        "torn_bytes": seen.torn_bytes,
    }
    if as_json:
        found: list[Json] = [{"file": one.file, "where": one.where, "what": one.what} for one in seen.findings]
        console.emit({**shown, "findings": found}, as_json=True)
    else:
        console.emit({**shown, **_advice(seen)}, as_json=False)
        for one in seen.findings:
            print(f"WRONG  {_place(one)}: {one.what}")
    if seen.findings:
        raise CorruptState(
            f"something is wrong at {len(seen.findings)} places, the first of them {_place(seen.findings[0])}; keep a "
            "copy of the folder as it is, then restore it from a backup",
            code="ledger.damaged",
        )


def _identity(state: Path) -> Identity | None:
    """Whose ledger it has to be; a decommissioned silo has no key any more, so its ledger speaks for itself."""
    if (state / "identity" / CONSORTIUM_FILE).exists() and not (state / "identity" / IDENTITY_FILE).exists():
        return None
    return Identity.load(state / "identity")


def _parties(state: Path, identity: Identity | None, studies: Sequence[Path]) -> Iterator[Party]:
    """Who may have cosigned: the parties of the studies that were approved here, and of those that are named."""
    if identity is None:
        if studies:
            raise ConfigError("this silo was decommissioned and has no consortium's key to verify a study with")
        return
    for path in sorted((state / "studies").glob("*/study.yaml")):
        try:
            yield from parties_of(load_signed(path, identity.study_key))
        except (ConfigError, StudyError):
            continue  # of an earlier consortium, or damaged: what its parties cosigned stays unchecked, and is counted
    for path in studies:
        yield from parties_of(load_signed(path, identity.study_key))


def show(
    state: State,
    kind: Annotated[list[str] | None, typer.Option(help="Only entries of this kind; repeat.")] = None,
    study: Annotated[str | None, typer.Option(help="Only entries about this study: its name, or its digest.")] = None,
    round_number: Annotated[int | None, typer.Option("--round", help="Only entries about this round.")] = None,
    last: Annotated[int | None, typer.Option(help="Only so many, the last ones.", min=1)] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Who did what, when, with what outcome and why. That you looked is an entry too."""
    if unknown := sorted(set(kind or ()) - set(KINDS)):
        raise ConfigError(f"there are no entries of kind '{unknown[0]}'; the kinds are {', '.join(sorted(KINDS))}")
    given = {"kind": ", ".join(kind or ()), "study": study, "round": round_number, "last": last}
    asked = ", ".join(f"{name} {value}" for name, value in given.items() if value)
    ledger = _reading(state, f"ledger shown ({asked or 'all of it'})", by)
    digests = _digests(ledger.entries, study)
    chosen = [
        entry
        for entry in ledger.entries
        if (not kind or entry.kind in kind)
        and (digests is None or entry.body.get("study_digest") in digests)
        and (round_number is None or entry.body.get("round") == round_number)
    ][-last if last else 0 :]
    store = SideStore(state / FOLDER)
    told = [(entry, *_told(entry, ledger.origin, store)) for entry in chosen]
    if as_json:
        entries: list[Json] = [_json(*one) for one in told]
        console.emit({"origin": ledger.origin, "size": len(ledger.entries), "entries": entries}, as_json=True)
    else:
        _table([(str(entry.sequence), one.when, entry.kind, *_columns(one)) for entry, one, _ in told])


def prove(
    sequence: Annotated[int, typer.Argument(help="Number of the entry.", min=0)],
    state: State,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write, *.tlog-proof; must be new.")],
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Write a file that proves to anybody who knows this party's public key that an entry is in its ledger."""
    identity = _signing(state)
    ledger = _reading(state, f"entry {sequence} proven", by)
    if sequence >= len(ledger.entries):
        raise ConfigError(f"there is no entry {sequence}; the last one is {len(ledger.entries) - 1}")
    checkpoint = note.checkpoint(ledger.origin, len(ledger.entries), ledger.root, identity.keys.identity)
    durable.create(output, proof.make(ledger.entries, sequence, checkpoint).encode(), mode=0o644)
    shown: dict[str, Json] = {
        "entry": sequence,
        "kind": ledger.entries[sequence].kind,
        "of_entries": len(ledger.entries),
        "root": ledger.root.hex(),
        "key": identity.keys.public_identity.hex(),
        "proof": str(output),
    }
    console.emit(shown, as_json=as_json)


def report(
    folder: Annotated[Path, typer.Argument(help="The folder that 'collegium-compliance report' wrote.")],
    state: State,
    by: By = None,
) -> None:
    """Enter that a report was made: its digest, the studies in it, and who made it. Stop a running program first."""
    who = attribution.who(by)
    made = read_report(folder)
    identity = _signing(state)
    with durable.lock(state), Ledger.open(state / FOLDER, identity.keys.identity) as ledger:
        number = made.enter(ledger, who)
    print(f"entry {number}: {made.what}, digest {made.digest}")


def erase(
    sequence: Annotated[int, typer.Argument(help="Number of the entry.", min=0)],
    reason: Reason,
    state: State,
    by: By = None,
) -> None:
    """Erase what can be erased of an entry, such as who did it. The entry, and every proof of it, stay valid."""
    who, why = attribution.checked(by, reason)
    identity = _signing(state)
    with durable.lock(state), Ledger.open(state / FOLDER, identity.keys.identity) as ledger:
        if sequence >= len(ledger.entries) or DETAILS not in ledger.entries[sequence].body:
            raise ConfigError(f"entry {sequence} has no details in the side store")
        ledger.erase_details(sequence, why, who)
    print(f"the details of entry {sequence} are erased here; backups have copies of their own")


class _Read:
    """A verified ledger that was just read, the entry of this reading with it where that could be written now."""

    def __init__(self, origin: str, entries: tuple[Entry, ...], root: bytes) -> None:
        self.origin, self.entries, self.root = origin, entries, root


def _reading(state: Path, what: str, by: str | None) -> _Read:
    """Enter the reading, or note it, and only then give the ledger."""
    folder, who = state / FOLDER, attribution.who(by)
    if decommissioned(state) is not None:  # nothing is left to sign an entry with: the note stays one
        return _noted(folder, what, who)
    identity = Identity.load(state / "identity")
    try:
        with Ledger.open(folder, identity.keys.identity) as ledger:
            ledger.append("log_read", {"what": what, "by": who})
            return _Read(ledger.origin, ledger.entries, ledger.head()[1])
    except AlreadyRunning:
        return _noted(folder, what, who)


def _noted(folder: Path, what: str, who: str) -> _Read:
    readings.note(folder, what, who, utc_now())
    found = read(folder)
    return _Read(found.origin, found.entries, found.root)


def _signing(state: Path) -> Identity:
    """Who signs an entry or a proof of this ledger. Raises IdentityError: not enrolled, or decommissioned."""
    refuse_decommissioned(state)
    return Identity.load(state / "identity")


def _digests(entries: Sequence[Entry], study: str | None) -> frozenset[str] | None:
    """Digests of the studies that a name or the beginning of a digest stands for; None for no choice."""
    if study is None:
        return None
    named = {str(entry.body["study_digest"]) for entry in entries if entry.body.get("study") == study}
    every = {str(entry.body["study_digest"]) for entry in entries if "study_digest" in entry.body}
    found = named or {digest for digest in every if len(study) >= 8 and digest.startswith(study)}
    if not found:
        raise ConfigError("no entry speaks of this study; give its name as approved here, or 8 digits of its digest")
    return frozenset(found)


def _told(entry: Entry, origin: str, store: SideStore) -> tuple[Told, dict[str, Json] | None]:
    name = entry.body.get(DETAILS)
    details = store.get(name) if isinstance(name, str) else None
    return tell(entry, origin, details), details


def _json(entry: Entry, told: Told, details: dict[str, Json] | None) -> dict[str, Json]:
    return {
        "sequence": entry.sequence,
        "time": entry.time,
        "kind": entry.kind,
        "who": told.who,
        "what": told.what,
        "outcome": told.outcome,
        "why": told.why,
        "body": dict(entry.body),
        "details": details,
    }


def _columns(told: Told) -> tuple[str, ...]:
    return told.who, told.what, told.outcome, told.why


def _table(rows: list[tuple[str, ...]]) -> None:
    heading = ("entry", "when", "kind", "who", "what", "outcome", "why")
    widths = [max(len(row[column]) for row in (heading, *rows)) for column in range(len(heading))]
    for row in (heading, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _place(finding: Finding) -> str:
    return ", ".join(part for part in (finding.file or "the folder", finding.where) if part)


def _advice(seen: Examination) -> dict[str, Json]:
    if seen.torn_bytes:
        return {"torn": "an unfinished write that was never acknowledged; the next start cuts it and says so"}
    if seen.findings:
        return {}
    if seen.heads_unknown:
        return {
            "result": "all that was checked is as it was written; --study names more parties, whose files then are too"
        }
    return {"result": "all is as it was written"}

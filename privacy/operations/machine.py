"""Checks of one machine and one state directory: user, name, keys, certificate, clock, ledger, versions, disk, memory.

Each returns what it found or raises what is wrong, see `privacy.operations.findings`. They read and change nothing.
"""

import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path

from privacy.channel import roster_statement
from privacy.channel.identity import Identity, retired
from privacy.channel.member import Role
from privacy.channel.statement_memory import StatementMemory
from privacy.errors import CollegiumError, CorruptState, IdentityError, StorageError
from privacy.ledger.facts.ending import refuse_decommissioned
from privacy.ledger.fsck import examine
from privacy.ledger.reader import read
from privacy.operations import secret_files
from privacy.operations.findings import Check, Doubtful, NotChecked, in_order
from privacy.token.keys import TokenSigner, prove

LITTLE_DISK, NO_DISK = 5 * 2**30, 2**28
LITTLE_MEMORY = 2 * 2**30
_WITH_LEDGER = ("cohorts/*", "patients/*", "studies/*")
"""What is only there after the first entry of a ledger."""
SOON = timedelta(days=30)
SOON_STATEMENT = timedelta(days=3)
CLOCK_SECONDS = 120.0
"""How far the clock may be behind what was signed before."""


def checks(state: Path, role: Role, secret: Sequence[str], needed_memory: int = LITTLE_MEMORY) -> Iterator[Check]:
    """All of them, for a state directory of a party in this role, whose secret files these globs mean."""
    yield "user", partial(secret_files.check_user, state)
    yield "key permissions", partial(secret_files.check, state, secret)
    yield from in_order(
        (
            ("name", partial(name, state, role)),
            ("certificate", partial(certificate, state, datetime.now(UTC))),
            ("token", partial(token, state)),
        )
    )
    yield from in_order((("ledger", partial(ledger, state)), ("clock", partial(clock, state, datetime.now(UTC)))))
    yield "versions", versions
    yield "disk", partial(disk, state)
    yield "memory", partial(memory, needed_memory)


def name(state: Path, role: Role) -> str:
    """Who this is. Raises IdentityError: not enrolled (any more), another role, or its files do not belong together."""
    refuse_decommissioned(state)
    member = Identity.load(state / "identity").member
    if member.role is not role:
        raise IdentityError(
            f"this is the state directory of the {member.role} '{member.name}'; name another with --state, or use"
            f" 'collegium-{member.role} doctor'",
            code="identity.other_role",
        )
    return member.uri


def token(state: Path) -> str:
    """Whether the keys that are in a token are there, sign, and cannot be taken out. Raises IdentityError."""
    keys = Identity.load(state / "identity").keys
    if not isinstance(keys.identity, TokenSigner):
        return "none: the keys are files"
    prove(keys.identity, keys.tls)
    label = keys.identity.token.description.token
    left = len(retired(state / "identity"))
    if left:
        raise Doubtful(f"'{label}' holds {left} keys of earlier certificates; the next renewal destroys them")
    return f"the keys in '{label}' sign and cannot be taken out"


def certificate(state: Path, now: datetime) -> str:
    """How long it is valid. Raises IdentityError: it is not."""
    held = Identity.load(state / "identity")
    held.check_dates(now)
    left = held.certificate.not_valid_after_utc - now
    if left < SOON:
        raise Doubtful(f"{left.days} days left; ask the consortium for a new one ('renew') and run 'enrol' with it")
    return f"{left.days} days left"


def clock(state: Path, now: datetime) -> str:
    """Whether the clock is behind what this party signed before. Raises IdentityError."""
    folder = state / "ledger"
    entries = read(folder).entries if (folder / "origin.json").exists() else ()
    newest = max((entry.at for entry in entries), default=now)
    behind = (newest - now).total_seconds()
    if behind > CLOCK_SECONDS:
        raise IdentityError(
            f"the clock is {behind:.0f} s behind the newest entry of the ledger; set the clock and let NTP keep it",
            code="identity.clock",
        )
    return f"{now:%Y-%m-%d %H:%M:%S} UTC, not behind the ledger"


def statement(memory: Callable[[], StatementMemory], now: datetime) -> str:
    """Whether the newest roster statement that was seen holds by our clock, which a wrong clock denies.

    Raises Unreachable: expired; IdentityError: from the future; CorruptState: damaged.
    """
    newest = memory().newest
    if newest is None:
        return "none seen yet"
    newest.check_current(now)
    left = roster_statement.at(newest.expires) - now
    said = f"serial {newest.serial}, {left.days} days left"
    if left < SOON_STATEMENT:
        raise Doubtful(f"{said}; no round begins without a newer one: the consortium's operator has to make it")
    return said


def ledger(state: Path) -> str:
    """Whether every byte of it is as it was written. Raises CorruptState: damaged, or gone from a used state."""
    folder = state / "ledger"
    if not folder.exists() or not any(folder.iterdir()):
        if any(any(state.glob(pattern)) for pattern in _WITH_LEDGER):
            raise CorruptState(
                "the ledger is missing, though this state directory was used; restore it from a backup",
                code="ledger.missing",
            )
        return "none yet"
    try:
        identity = Identity.load(state / "identity")
    except CollegiumError as error:
        raise NotChecked("not looked at, as it is compared with the key of 'name'") from error
    seen = examine(folder, (identity.member.uri, identity.keys.public_identity))
    if seen.findings:
        first, more = seen.findings[0], len(seen.findings) - 1
        what = first.what.partition("; ")[0]
        where = "" if what.startswith(first.file) else f"{first.file} {first.where}".strip() + ": "
        raise CorruptState(
            f"the ledger is damaged: {where}{what}{f', and {more} more' if more else ''}; keep a copy of it, look at "
            "'ledger fsck', then restore it from a backup",
            code="ledger.damaged",
        )
    return f"{seen.entries} entries, all as they were written"


def versions() -> str:
    """What runs here."""
    return f"collegium {version('collegium')}, Python {platform.python_version()}, grpcio {version('grpcio')}"


def disk(state: Path) -> str:
    """What is free where the state is. Raises StorageError: next to nothing, or it cannot be written to."""
    if not os.access(state, os.W_OK | os.X_OK):
        raise StorageError(
            "the state directory cannot be written to; see that its file system is not mounted read-only, and that it "
            "belongs to the user of the program"
        )
    free = shutil.disk_usage(state).free
    said = f"{free / 2**30:.1f} GiB free"
    if free < NO_DISK:
        raise StorageError(f"{said} where the state directory is; free some space", code="storage.full")
    if free < LITTLE_DISK:
        raise Doubtful(f"{said} where the state directory is; free some space soon")
    return said


def memory(needed: int, source: Path = Path("/proc/meminfo"), groups: Path = Path("/sys/fs/cgroup")) -> str:
    """What is available, to this machine and within the limit of this container. Doubtful when it is little."""
    words = dict(line.split(":", 1) for line in source.read_text().splitlines() if ":" in line)
    available = int(words["MemAvailable"].split()[0]) * 1024
    limit = _limit(groups)
    if limit is not None and limit < available:
        available, whose = limit, " within this container's limit"
    else:
        whose = ""
    said = f"{available / 2**30:.1f} GiB available{whose}"
    if available < needed:
        mend = "raise that limit" if whose else "end other programs, or use a larger machine"
        raise Doubtful(f"{said}; {needed / 2**30:.1f} GiB are wanted: {mend}")
    return said


def _limit(groups: Path) -> int | None:
    """What the control group of this process lets it have, with all that it has now; None without a limit."""
    for file in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return int((groups / file).read_text())
        except (OSError, ValueError):  # none of that version, or "max"
            continue
    return None

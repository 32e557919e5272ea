"""Checks of one machine and one state directory: versions, disk, memory, clock, certificate, keys, ledger.

Each returns what it found or raises what is wrong, see `privacy.operations.findings`. They read and change nothing.
"""

import platform
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path

from privacy.channel.identity import Identity, retired
from privacy.errors import CorruptState, IdentityError, StorageError
from privacy.ledger.fsck import examine
from privacy.ledger.reader import read
from privacy.operations.findings import Check, Doubtful
from privacy.token.keys import TokenSigner, prove

LITTLE_DISK, NO_DISK = 5 * 2**30, 2**28
LITTLE_MEMORY = 2 * 2**30
SOON = timedelta(days=30)
CLOCK_SECONDS = 120.0
"""How far the clock may be behind what was signed before."""


def checks(state: Path, needed_memory: int = LITTLE_MEMORY) -> Iterator[Check]:
    """All of them, for a state directory."""
    yield "name", partial(name, state)
    yield "key permissions", partial(permissions, state)
    yield "token", partial(token, state)
    yield "certificate", partial(certificate, state, datetime.now(UTC))
    yield "clock", partial(clock, state, datetime.now(UTC))
    yield "ledger", partial(ledger, state)
    yield "versions", versions
    yield "disk", partial(disk, state)
    yield "memory", partial(memory, needed_memory)


def name(state: Path) -> str:
    """Who this is. Raises IdentityError: not enrolled, or keys and certificate do not belong together."""
    return Identity.load(state / "identity").member.uri


def permissions(state: Path) -> str:
    """Whether others may read a key. Raises IdentityError."""
    keys = [path for path in sorted(state.rglob("*.key")) if path.is_file()]
    for path in keys:
        if path.stat().st_mode & 0o077:
            raise IdentityError(
                f"other users may read {path.name}; run 'chmod 600' on it, and tell the consortium if they might have",
                code="identity.exposed_key",
            )
    if state.stat().st_mode & 0o022:
        raise IdentityError(
            "other users may write to the state directory; run 'chmod 700' on it", code="identity.exposed_state"
        )
    return f"{len(keys)} key files are their owner's alone"


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


def ledger(state: Path) -> str:
    """Whether every byte of it is as it was written. Raises CorruptState."""
    folder = state / "ledger"
    if not (folder / "origin.json").exists():
        return "none yet"
    identity = Identity.load(state / "identity")
    seen = examine(folder, (identity.member.uri, identity.keys.public_identity))
    if seen.findings:
        raise CorruptState(
            f"{len(seen.findings)} places of the ledger are damaged; keep a copy, then restore it from a backup",
            code="ledger.damaged",
        )
    return f"{seen.entries} entries, all as they were written"


def versions() -> str:
    """What runs here."""
    return f"collegium {version('collegium')}, Python {platform.python_version()}, grpcio {version('grpcio')}"


def disk(state: Path) -> str:
    """What is free where the state is. Raises StorageError: next to nothing."""
    free = shutil.disk_usage(state).free
    said = f"{free / 2**30:.1f} GiB free"
    if free < NO_DISK:
        raise StorageError(f"{said} where the state directory is; free some space", code="storage.full")
    if free < LITTLE_DISK:
        raise Doubtful(f"{said} where the state directory is; free some space soon")
    return said


def memory(needed: int, source: Path = Path("/proc/meminfo")) -> str:
    """What is available. Doubtful when it is little."""
    words = dict(line.split(":", 1) for line in source.read_text().splitlines() if ":" in line)
    available = int(words["MemAvailable"].split()[0]) * 1024
    said = f"{available / 2**30:.1f} GiB available"
    if available < needed:
        raise Doubtful(f"{said}; {needed / 2**30:.1f} GiB are wanted: end other programs, or use a larger machine")
    return said

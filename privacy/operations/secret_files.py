"""Whether a program's secret files are their owner's alone; which files those are, each program says in one table.

The table is a tuple of globs below the state directory: `COMMON` here, the silo's in `silo_node.state`. A test compares
them with the files that docs/reference/files.md calls secret.
"""

import os
import pwd
from collections.abc import Iterator, Sequence
from pathlib import Path

from privacy.errors import IdentityError
from privacy.operations.findings import Doubtful

COMMON = ("identity/**/*.key", "identity/pkcs11.yaml", "cosigner.key", "status.json")
"""What silos and aggregators both have."""
_SHOWN = 5


def check(state: Path, secret: Sequence[str]) -> str:
    """Whether others may read, or own, a secret file, or write where they are. Raises IdentityError."""
    files = tuple(found(state, secret))
    owner = state.stat().st_uid
    if exposed := [path for path in files if path.stat().st_mode & 0o077]:
        raise IdentityError(
            f"other users may read {_named(state, exposed)}; run 'chmod {_closing(state, exposed)}' in the state "
            "directory, and tell the consortium if somebody might have read a key",
            code="identity.exposed_key",
        )
    if foreign := [path for path in files if path.stat().st_uid != owner]:
        raise IdentityError(
            f"{_named(state, foreign)} belong to another user than the state directory; run 'chown {user(owner)}' on "
            "them there",
            code="identity.other_owner",
        )
    if state.stat().st_mode & 0o022:
        raise IdentityError(
            "other users may write to the state directory; run 'chmod 700' on it", code="identity.exposed_state"
        )
    return f"{len(files)} secret files are their owner's alone"


def found(state: Path, secret: Sequence[str]) -> Iterator[Path]:
    """The secret files that there are, each once."""
    seen = {path for pattern in secret for path in state.glob(pattern) if path.is_file()}
    yield from sorted(seen)


def check_user(state: Path) -> str:
    """Whether this runs as the user whose the state is. Raises Doubtful: what it writes is not the owner's."""
    owner, ours = state.stat().st_uid, os.geteuid()
    if owner != ours:
        raise Doubtful(
            f"this runs as {user(ours)}, and the state directory belongs to {user(owner)}; run every command as that "
            f"user, for instance by 'sudo -u {user(owner)}', as it cannot read what another user writes there"
        )
    return user(ours)


def user(number: int) -> str:
    """The name of a user, or the number of one that has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"#{number}"


def _closing(state: Path, paths: Sequence[Path]) -> str:
    """The rest of a command that closes files to others; with many of them, the whole directory."""
    if len(paths) > _SHOWN:
        return "-R go= ."
    return " ".join(["600", *(path.relative_to(state).as_posix() for path in paths)])


def _named(state: Path, paths: Sequence[Path]) -> str:
    names = ", ".join(path.relative_to(state).as_posix() for path in paths[:_SHOWN])
    return names if len(paths) <= _SHOWN else f"{names} and {len(paths) - _SHOWN} more"

"""The consortium's roster statement at the aggregator: read from a file whenever that changes, and acted on.

Every call of a silo is let in only after the file was looked at, so a revocation is effective on the next call of a
live connection. A file that is not in order changes nothing: the newest statement that was taken stays, also after a
restart. The aggregator can be careless or lie about all this; silos verify the statement themselves.
"""

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from privacy.channel import roster_statement
from privacy.channel.envelope import Signed
from privacy.channel.member import Member, Role
from privacy.channel.statement_memory import StatementMemory
from privacy.errors import CollegiumError, ConfigError, IdentityError, StorageError, Unreachable
from privacy.study import Study

STATEMENT_FILE = "newest-roster-statement.json"
"""The newest statement that was taken, in the state directory."""


class RosterFile:
    """Watches one file for one study. Thread-safe.

    Args:
        path: where the operator puts the newest statement; it may be missing as long as one was taken before.
        memory: the newest statement that was taken, durable.
        study: the verified study.
        clock: the present, aware.
        adopt: is given each newest statement and the roster indices of the silos that it revokes.
        report: is told why a file was not taken, once for each version of it, and once that the newest has expired.
    """

    def __init__(
        self,
        path: Path,
        memory: StatementMemory,
        study: Study,
        clock: Callable[[], datetime],
        adopt: Callable[[Signed, frozenset[int]], None],
        report: Callable[[CollegiumError], None],
    ) -> None:
        self._path, self._memory, self._study, self._clock = path, memory, study, clock
        self._adopt, self._report = adopt, report
        self._seen: tuple[int, int, int] | None = None
        self._adopted: Signed | None = None
        self._told_expired: Signed | None = None
        self._lock = threading.Lock()

    @property
    def holds_until(self) -> datetime | None:
        """When the newest statement expires, or has; None without one."""
        newest = self._memory.newest
        return None if newest is None else roster_statement.at(newest.expires)

    def begin(self) -> None:
        """Take the first statement.

        Raises:
            ConfigError: the study requires a statement and there is none.
        """
        self.refresh()
        if self._memory.newest is None and self._study.roster.statements == "required":
            raise ConfigError(
                "this study requires a roster statement; have the consortium run 'collegium-consortium "
                f"roster-statement' and put the file at {self._path.name}, or name it with --roster-statement",
                code="config.no_roster_statement",
            )

    def refresh(self) -> None:
        """Look at the file, and take it if it has changed and is newer. Raises StorageError."""
        with self._lock:
            stamp = _stamp(self._path)
            if stamp is not None and stamp != self._seen:
                self._take()
            self._seen = stamp
            signed, newest = self._memory.signed, self._memory.newest
            if signed is not None and newest is not None and signed != self._adopted:
                self._adopted = signed
                self._adopt(signed, newest.silos_of(self._study.roster))
            self._tell_expired()

    def _take(self) -> None:
        try:
            self._memory.take(roster_statement.read(self._path), self._clock())
        except StorageError:
            raise  # a revocation that cannot be kept is tried again at the next call, and this one is refused
        except CollegiumError as error:
            if error.code != roster_statement.EXPIRED:  # it was taken, and is told of in its own place
                self._report(error)

    def _tell_expired(self) -> None:
        """Report that the newest statement holds no more, whether it came so or expired while we served."""
        signed, newest = self._memory.signed, self._memory.newest
        if newest is None or signed == self._told_expired:
            return
        try:
            newest.check_current(self._clock())
        except Unreachable as error:
            self._report(error)
            self._told_expired = signed
        except IdentityError:
            pass  # from the future: that was told when it was taken

    def admit(self, member: Member) -> None:
        """Refuse a silo of the roster that is revoked.

        Raises:
            StudyError: it is not on the roster.
            IdentityError: it is revoked.
            StorageError: a new statement cannot be kept.
        """
        self.refresh()
        newest = self._memory.newest
        if newest is None or member.role is not Role.SILO:
            return
        silos = self._study.roster.silos
        found = newest.find(silos[self._study.roster.index(member.name) - 1].identity)
        if found is not None:
            raise IdentityError(
                f"silo '{member.name}' is revoked since {found.since} ({found.reason}); it takes no part any more: "
                "ask the consortium",
                code="identity.revoked",
            )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is replaced or written; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size

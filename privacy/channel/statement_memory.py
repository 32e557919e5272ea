"""What a member remembers of the consortium's roster statements: the newest one it saw, durably.

A statement that a member has seen is never followed by an older one, also after a restart, whoever hands it over: an
aggregator that relays a stale statement, in which a silo is not revoked yet, is found out. What was never shown to
this member it cannot know; that is bounded by the expiry alone.
"""

from datetime import datetime
from pathlib import Path

from privacy import durable
from privacy.channel import roster_statement
from privacy.channel.envelope import Signed
from privacy.channel.roster_statement import RosterStatement
from privacy.errors import CollegiumError, CorruptState, ProtocolError


class StatementMemory:
    """The newest statement of one consortium, in one file.

    Args:
        path: the file; its folder exists.
        consortium: whose statements count.
        study_key: the Ed25519 key they are verified with, 32 raw bytes.

    Raises:
        CorruptState: the file is not what was stored.
    """

    def __init__(self, path: Path, consortium: str, study_key: bytes) -> None:
        self._path, self._consortium, self._study_key = path, consortium, study_key
        self._signed: Signed | None = None
        self._newest: RosterStatement | None = None
        if path.exists():
            try:
                self._signed = roster_statement.read(path)
                self._newest = self._opened(self._signed)
            except CollegiumError as error:
                raise CorruptState(
                    f"{path.name} is damaged; restore it from the backup, or remove it and ask the consortium for the "
                    "serial number of its newest statement",
                    code="roster.damaged",
                ) from error

    @property
    def newest(self) -> RosterStatement | None:
        """The newest statement that was taken; it may have expired."""
        return self._newest

    @property
    def signed(self) -> Signed | None:
        """The same as it was signed, to be relayed."""
        return self._signed

    def take(self, signed: Signed, now: datetime) -> RosterStatement:
        """Verify a statement, remember it if it is the newest, and check that it holds at `now` (aware).

        A newer one is remembered even if it has expired: what it revokes stays revoked.

        Raises:
            IdentityError: not signed by the consortium, or from the future.
            Unreachable: `roster.expired`.
            ProtocolError: malformed; `roster.rollback`: older than one seen; `roster.forked`: a second one of a serial.
            StorageError: it cannot be remembered.
        """
        statement = self._opened(signed)
        if self._newest is not None and statement.serial < self._newest.serial:
            raise ProtocolError(
                f"an old roster statement (serial {statement.serial}) came after serial {self._newest.serial}; it may "
                "hide that a member was revoked: have the aggregator serve the newest one",
                code="roster.rollback",
            )
        if self._newest is not None and statement.serial == self._newest.serial and statement != self._newest:
            raise ProtocolError(
                f"the consortium signed two different roster statements with serial {statement.serial}; ask it to run "
                "'collegium-consortium roster-statement' again, and whether its directory was restored or copied",
                code="roster.forked",
            )
        if statement != self._newest:
            durable.write(self._path, roster_statement.dump(signed))
            self._signed, self._newest = signed, statement
        statement.check_current(now)
        return statement

    def _opened(self, signed: Signed) -> RosterStatement:
        return roster_statement.open_signed(signed, self._consortium, self._study_key)

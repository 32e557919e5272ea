"""The consortium's own side of roster statements: each has the next serial number, and what is revoked stays revoked.

The newest statement, `roster-statement.json` in the consortium's directory, is the register of revocations: a new one
replaces it by one rename before anybody else sees it, so that no serial number is ever signed twice.
"""

from datetime import datetime, timedelta
from pathlib import Path

from privacy.channel import roster_statement
from privacy.channel.admission import Request
from privacy.channel.envelope import Signed
from privacy.channel.roster_statement import Reason, Revoked, RosterStatement, instant
from privacy.channel.statement_memory import StatementMemory
from privacy.durable import lock
from privacy.errors import IdentityError
from privacy.learning import Name
from privacy.signer import Signer


class Revocations:
    """The statements of one consortium."""

    def __init__(self, directory: Path, consortium: Name, study_key: Signer) -> None:
        self._directory, self._consortium, self._study_key = directory, consortium, study_key

    def check(self, request: Request) -> None:
        """Check that a member is not revoked.

        Raises:
            IdentityError: it is.
            CorruptState: the newest statement is damaged.
        """
        newest = self._memory().newest
        found = newest.find(request.identity_key) if newest is not None else None
        if found is not None:
            raise IdentityError(
                f"{request.member.uri} is revoked since {found.since} ({found.reason}) and stays so; admit it under "
                "another name and with new keys if it may take part again",
                code="identity.revoked",
            )

    def revoke(self, request: Request, reason: Reason, now: datetime, life: timedelta) -> Signed:
        """A new statement in which this member is revoked too, and stays so in all later ones.

        Raises:
            StorageError: the disk refused; nobody is revoked.
        """
        entry = Revoked(
            role=request.role,
            name=request.name,
            identity=request.identity_key,
            reason=reason,
            since=instant(now),
        )
        return self._issue((entry,), now, life)

    def renew(self, now: datetime, life: timedelta) -> Signed:
        """A new statement of the same content that holds for `life` from `now`.

        Raises:
            StorageError: the disk refused.
        """
        return self._issue((), now, life)

    def _issue(self, more: tuple[Revoked, ...], now: datetime, life: timedelta) -> Signed:
        with lock(self._directory):
            memory = self._memory()
            newest = memory.newest
            known = newest.revoked if newest is not None else ()
            entries = {entry.identity: entry for entry in (*more, *known)}
            statement = RosterStatement(
                consortium=self._consortium,
                serial=1 if newest is None else newest.serial + 1,
                issued=instant(now),
                expires=instant(now + life),
                revoked=tuple(entries[identity] for identity in sorted(entries)),
            )
            signed = roster_statement.sign(statement, self._study_key)
            memory.take(signed, now)
        return signed

    def _memory(self) -> StatementMemory:
        public = self._study_key.public_key().public_bytes_raw()
        return StatementMemory(self._directory / "roster-statement.json", self._consortium, public)

"""The consortium's register: outstanding one-time tokens and admitted members, a small file each.

A member's file is created once (O_EXCL), and that creation is what uses up the token: of two
requests with one token only the first can be registered, whenever the process is killed.
"""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from privacy.channel.admission import Request
from privacy.channel.files import Secret, publish, read_secret, write_secret
from privacy.channel.member import Member, Role
from privacy.configuration import Strict, load, parse
from privacy.errors import IdentityError
from privacy.learning import Name
from privacy.roster import Hex32

LAST_SECOND = 253402300799
"""Of the year 9999."""


class Token(Strict):
    """An invitation for one role and name, until `expires` (seconds since 1970, UTC)."""

    token: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
    expires: Annotated[int, Field(ge=0, le=LAST_SECOND)]


class Registered(Strict):
    """An admitted member: the request it made and the certificate it got, PEM.

    `replaced` has the SHA-256 of each TLS key that had its place before (DER of the public half): certified no more.
    """

    request: Request
    certificate: str
    replaced: tuple[Hex32, ...] = ()


class Register:
    """The folders `tokens/` and `members/` of a consortium's directory."""

    def __init__(self, directory: Path, consortium: Name) -> None:
        self._tokens = directory / "tokens"
        self._members = directory / "members"
        self._consortium = consortium

    def invite(self, member: Member, until: datetime) -> str:
        """A fresh token for `member`, which replaces an outstanding one.

        Raises:
            IdentityError: the name is taken.
            StorageError: the disk refused.
        """
        if self.find(member) is not None:
            raise IdentityError(
                f"{member.uri} is admitted already; run 'renew' for a new certificate, or choose another name",
                code="identity.name_taken",
            )
        token = Token(token=secrets.token_urlsafe(32), expires=int(until.timestamp()))
        self.forget_token(member)
        write_secret(self._token_path(member), token.model_dump_json().encode())
        return token.token

    def token(self, member: Member, now: datetime) -> str:
        """The token that a request of `member` must be proven with.

        Raises:
            IdentityError: none is outstanding, or it expired.
        """
        path = self._token_path(member)
        if not path.exists():
            raise IdentityError(
                f"no token is outstanding for {member.role} '{member.name}'; run 'token' and have 'init' run with it",
                code="identity.no_token",
            )
        record = parse(read_secret(path, Secret.TOKEN), Token, name=path.name)
        if now.timestamp() > record.expires:
            expired = datetime.fromtimestamp(record.expires, UTC)
            raise IdentityError(
                f"the token of {member.role} '{member.name}' expired on {expired:%Y-%m-%d}; run 'token' again and have"
                " 'init' run with the new one",
                code="identity.token_expired",
            )
        return record.token

    def forget_token(self, member: Member) -> None:
        """Remove the token of `member`, if there is one."""
        self._token_path(member).unlink(missing_ok=True)

    def find(self, member: Member) -> Registered | None:
        """The register's entry for `member`, if it is admitted."""
        path = self._member_path(member)
        return load(path, Registered) if path.exists() else None

    def add(self, registered: Registered) -> None:
        """Enter a new member, once.

        Raises:
            IdentityError: one of its keys is another member's.
            StorageError: the name was taken meanwhile, or the disk refused.
        """
        request = registered.request
        for other in self:
            if other.request.identity_key == request.identity_key:
                raise IdentityError(
                    f"the identity key is that of {other.request.member.uri}; every member makes its own keys",
                    code="identity.key_taken",
                )
        write_secret(self._member_path(request.member), registered.model_dump_json(indent=2).encode())

    def replace(self, registered: Registered) -> None:
        """Store a renewed certificate.

        Raises:
            StorageError: the disk refused.
        """
        publish(self._member_path(registered.request.member), registered.model_dump_json(indent=2).encode())

    def named(self, role: Role, name: Name) -> Registered:
        """The member of that role and name.

        Raises:
            IdentityError: it is not admitted.
        """
        found = self.find(Member(self._consortium, role, name))
        if found is None:
            raise IdentityError(
                f"{role} '{name}' is not admitted; run 'token' and 'admit' first", code="identity.unknown_member"
            )
        return found

    def __iter__(self) -> Iterator[Registered]:
        for path in sorted(self._members.glob("*.json")):
            yield load(path, Registered)

    def _token_path(self, member: Member) -> Path:
        return self._tokens / f"{member.role}-{member.name}.json"

    def _member_path(self, member: Member) -> Path:
        return self._members / f"{member.role}-{member.name}.json"

"""The consortium's signed word on which of its members are revoked, until when it holds, and its place in the order.

A `RosterStatement` is signed by the study key, the anchor that studies are verified with, because it reaches silos
through the aggregator, which is not trusted with it: a statement can be withheld only until it expires, and never be
replaced by an older one where a newer one was seen (`statement_memory`). Of two statements the one with the higher
serial number is the newer; clocks decide nothing but the expiry. What travels and is signed is the canonical JSON.
Who is on a study's roster is the study's own matter.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from privacy.channel import envelope
from privacy.channel.envelope import Signed
from privacy.channel.member import Role
from privacy.configuration import Strict, load
from privacy.digest import canonical_json
from privacy.errors import IdentityError, ProtocolError, Unreachable
from privacy.learning import Name
from privacy.roster import Hex32, Roster
from privacy.signer import Signer

KIND = "roster-statement"
MAX_LIFE = timedelta(days=90)
"""No statement holds longer: this bounds how long an aggregator can withhold the next one."""
CLOCK_SKEW = timedelta(minutes=5)
"""A statement may be from so far ahead of our clock."""
MAX_REVOKED = 2000
EXPIRED = "roster.expired"
"""The code of a statement that holds no more."""


def _instant(text: str) -> str:
    datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    return text


Instant = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"), AfterValidator(_instant)]
"""UTC, to the second."""


class Reason(StrEnum):
    """Why a member is revoked; the names are those of RFC 5280, section 5.3.1."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "key-compromise"
    AFFILIATION_CHANGED = "affiliation-changed"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessation-of-operation"
    PRIVILEGE_WITHDRAWN = "privilege-withdrawn"


class Revoked(Strict):
    """A member that is revoked for good: the identity key is what counts, role and name are for people."""

    role: Role
    name: Name
    identity: Hex32
    reason: Reason
    since: Instant


class RosterStatement(Strict):
    """The revoked members of a consortium, ascending by identity key; it holds until `expires`."""

    format: Literal["collegium-roster-statement/1"] = "collegium-roster-statement/1"
    consortium: Name
    serial: int = Field(ge=1, lt=2**63)
    issued: Instant
    expires: Instant
    revoked: tuple[Revoked, ...] = Field(default=(), max_length=MAX_REVOKED)

    @model_validator(mode="after")
    def _sound(self) -> "RosterStatement":
        if not timedelta(0) < at(self.expires) - at(self.issued) <= MAX_LIFE:
            raise ValueError(f"a statement holds for at most {MAX_LIFE.days} days")
        keys = [member.identity for member in self.revoked]
        if keys != sorted(set(keys)):
            raise ValueError("revoked members stand once each, ascending by identity key")
        return self

    def canonical(self) -> bytes:
        """The bytes that are signed."""
        return canonical_json(self.model_dump(mode="json"))

    def find(self, identity: str) -> Revoked | None:
        """The entry of an identity key (hex), if it is revoked."""
        return next((member for member in self.revoked if member.identity == identity), None)

    def silos_of(self, roster: Roster) -> frozenset[int]:
        """Roster indices of the silos that are revoked."""
        keys = {member.identity for member in self.revoked}
        return frozenset(index for index, silo in enumerate(roster.silos, start=1) if silo.identity in keys)

    def check_current(self, now: datetime) -> None:
        """Check that the statement holds at `now` (aware).

        Raises:
            Unreachable: `roster.expired`, which passes: the consortium renews it, and nobody here can.
            IdentityError: `roster.not_yet_valid`, when our clock or the consortium's is wrong.
        """
        if now >= at(self.expires):
            raise Unreachable(
                f"the consortium's roster statement {self.serial} expired on {self.expires}; ask the consortium to run "
                "'collegium-consortium roster-statement' and the aggregator to serve the new file",
                code=EXPIRED,
            )
        if now < at(self.issued) - CLOCK_SKEW:
            raise IdentityError(
                f"the consortium's roster statement {self.serial} is from {self.issued}, which is in the future; "
                "correct this machine's clock",
                code="roster.not_yet_valid",
            )


class StatementFile(Strict):
    """A statement file as it is handed to the aggregator: JSON, readable by people."""

    statement: RosterStatement
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


def sign(statement: RosterStatement, key: Signer) -> Signed:
    """Sign a statement with the consortium's study key."""
    return envelope.sign(KIND, statement.canonical(), statement.consortium, key)


def open_signed(signed: Signed, consortium: str, study_key: bytes) -> RosterStatement:
    """The statement, once its signature under the consortium's study key (32 raw bytes) is verified.

    Whether it holds now is for `check_current`.

    Raises:
        IdentityError: `roster.bad_signature`: not signed by this consortium.
        ProtocolError: `roster.malformed`: signed, but not the canonical form of a statement of this consortium.
    """
    try:
        body = envelope.verify(signed, study_key, KIND)
    except IdentityError as error:
        raise IdentityError(
            "the roster statement is not signed by our consortium; the aggregator must serve the file that "
            "'collegium-consortium roster-statement' wrote",
            code="roster.bad_signature",
        ) from error
    try:
        statement = RosterStatement.model_validate_json(body)
    except ValidationError as error:
        raise _malformed() from error
    if statement.canonical() != body or {statement.consortium, signed.signer} != {consortium}:
        raise _malformed()
    return statement


def dump(signed: Signed) -> bytes:
    """The file of a signed statement.

    Raises:
        ValueError: its body is no statement.
    """
    statement = RosterStatement.model_validate_json(signed.body)
    return (
        StatementFile(statement=statement, signature=signed.signature.hex()).model_dump_json(indent=2).encode() + b"\n"
    )


def read(path: Path) -> Signed:
    """The signed statement in a file; its signature is not checked here.

    Raises:
        ConfigError: unreadable, or not a statement's file.
    """
    found = load(path, StatementFile)
    return Signed(KIND, found.statement.canonical(), found.statement.consortium, bytes.fromhex(found.signature))


def at(instant: Instant) -> datetime:
    """An instant as an aware time."""
    return datetime.strptime(instant, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def instant(time: datetime) -> Instant:
    """An aware time as an instant; parts of a second are cut off."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _malformed() -> ProtocolError:
    return ProtocolError(
        "the roster statement is not one that this version can read; use the same version as the consortium",
        code="roster.malformed",
    )

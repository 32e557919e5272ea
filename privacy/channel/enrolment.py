"""A member's side of its enrolment: keys made on site, a request out, a certificate in.

Shared by `collegium-silo` and `collegium-aggregator`. Keys are never replaced; a certificate is, by one of
the same consortium for the same key. A silo that moves to another consortium keeps its keys, and with them
its ledger, which knows what was spent on its patients: a second state directory would not. What the files
say is checked in `admission` and `identity`.
"""

import re
from datetime import UTC, datetime
from pathlib import Path

from privacy import durable
from privacy.channel import certificate as profile
from privacy.channel.admission import Admission, Request, make_request
from privacy.channel.files import publish
from privacy.channel.identity import (
    AUTHORITY_FILE,
    CERTIFICATE_FILE,
    CONSORTIUM_FILE,
    REQUEST_FILE,
    Consortium,
    Identity,
    Keys,
    create_folder,
    refuse_existing,
)
from privacy.channel.member import Member, Role
from privacy.configuration import load
from privacy.digest import Json
from privacy.errors import CollegiumError, ConfigError, IdentityError, StorageError
from privacy.token.description import TokenDescription
from privacy.token.session import token_of

IDENTITY_FOLDER = "identity"
MOVE_FILE = "move-request.json"
"""The request to another consortium, until its admission comes."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
"""32 random bytes in URL-safe base 64."""


def begin(
    state: Path,
    member: Member,
    hosts: tuple[str, ...],
    token_file: Path,
    output: Path,
    pkcs11: TokenDescription | None = None,
) -> Request:
    """Make the keys of `member` in `state/identity`, all or none, and write the request to `output`.

    A silo that has keys and asks another consortium asks with the same keys, under the same name. Where `pkcs11`
    describes a token, the keys for identity and TLS are made in it and stay there.

    Raises:
        ConfigError: the token file, a name or a host is not usable.
        IdentityError: there are keys already; the token is not there, or refuses.
        StorageError: the disk refused; a copy of the request is in the identity folder once the keys are.
    """
    folder, token = state / IDENTITY_FOLDER, read_token(token_file)
    moves = _moves(folder, member)
    if moves:
        if pkcs11 is not None:
            raise ConfigError("the keys of this silo are made already and stay where they are; leave --pkcs11 out")
        request, text = _request(member, hosts, Keys.load(folder), token)
        durable.write(folder / MOVE_FILE, text)
    else:
        refuse_existing(folder)
        keys = Keys.generate(member.role, None if pkcs11 is None else token_of(pkcs11))
        try:
            request, text = _request(member, hosts, keys, token)
            create_folder(folder, keys, text)
        except CollegiumError:
            keys.take_back()
            raise
    try:
        publish(output, text)
    except StorageError as error:
        raise StorageError(
            f"the keys are made, but the request could not be written to {output}; copy it from"
            f" {IDENTITY_FOLDER}/{MOVE_FILE if moves else REQUEST_FILE} in the state directory"
        ) from error
    return request


def _request(member: Member, hosts: tuple[str, ...], keys: Keys, token: str) -> tuple[Request, bytes]:
    request = make_request(member, hosts, keys, token)
    return request, request.model_dump_json(indent=2).encode() + b"\n"


def finish(state: Path, admission_file: Path, now: datetime | None = None) -> Identity:
    """Check an admission against our keys and request, and keep it; also takes a renewed certificate.

    The admission of another consortium that was asked with the same keys takes the place of the present one.

    Raises:
        ConfigError: not an admission file.
        IdentityError: for another key or member, by another consortium, or not valid at `now`.
        StorageError: the disk refused; an earlier certificate is still in use.
    """
    folder = state / IDENTITY_FOLDER
    keys = Keys.load(folder)
    asked = load(folder / REQUEST_FILE, Request)
    admission = load(admission_file, Admission)
    admitted = Member(admission.consortium, admission.role, admission.name)
    moves = (folder / MOVE_FILE).exists() and load(folder / MOVE_FILE, Request).member == admitted
    if moves:
        asked = load(folder / MOVE_FILE, Request)
    if admitted != asked.member:
        raise IdentityError(
            f"this admission is not for {asked.member.uri}; use the answer to your own request",
            code="identity.other_member",
        )
    identity = Identity(
        asked.member,
        keys,
        profile.parse(admission.certificate.encode(), "the certificate in the admission"),
        profile.parse(admission.ca_certificate.encode(), "the CA certificate in the admission"),
        bytes.fromhex(admission.study_key),
    )
    identity.check_dates(now or datetime.now(UTC))
    if (folder / CONSORTIUM_FILE).exists() and not moves:
        _same_consortium(Identity.load(folder), identity)
    known = Consortium(
        consortium=admission.consortium, role=admission.role, name=admission.name, study_key=admission.study_key
    )
    publish(folder / CERTIFICATE_FILE, identity.certificate_pem)
    publish(folder / AUTHORITY_FILE, identity.authority_pem)
    publish(folder / CONSORTIUM_FILE, known.model_dump_json().encode() + b"\n")
    if moves:
        # Last, so that a move that was stopped is ended by the same command.
        durable.write(folder / REQUEST_FILE, (folder / MOVE_FILE).read_bytes())
        (folder / MOVE_FILE).unlink()
    return identity


def read_token(path: Path) -> str:
    """The one-time token in a file, which never stands on a command line.

    Raises:
        ConfigError: unreadable, or not a token.
    """
    try:
        with path.open("rb") as file:
            token = file.read(1000).decode("ascii", errors="replace").strip()
    except OSError as error:
        raise ConfigError(f"cannot read the token file {path.name}: {error.strerror}; check its name") from error
    if not _TOKEN.fullmatch(token):
        raise ConfigError(f"{path.name} does not hold an enrolment token; use the file that 'token' wrote")
    return token


def describe_request(request: Request, output: Path) -> dict[str, Json]:
    """What `init` prints."""
    return {
        "member": request.member.uri,
        "fingerprint": request.fingerprint,
        "request": str(output),
        "next": "send the request to the consortium, and read the fingerprint to it by phone",
    }


def describe_identity(identity: Identity) -> dict[str, Json]:
    """What `enrol` prints."""
    return {
        "member": identity.member.uri,
        "fingerprint": identity.fingerprint,
        "consortium_fingerprint": identity.consortium_fingerprint,
        "certificate_fingerprint": identity.certificate_fingerprint,
        "certificate_valid_until": identity.certificate.not_valid_after_utc.isoformat(),
        "next": "compare the consortium fingerprint with the consortium by phone before you take part in a study",
    }


def _moves(folder: Path, member: Member) -> bool:
    """Whether a silo with keys asks another consortium to admit it under its present name."""
    if member.role is not Role.SILO or not (folder / REQUEST_FILE).exists():
        return False
    present = load(folder / REQUEST_FILE, Request).member
    return (present.role, present.name) == (member.role, member.name) and present.consortium != member.consortium


def _same_consortium(before: Identity, after: Identity) -> None:
    if before.consortium_fingerprint != after.consortium_fingerprint:
        raise IdentityError(
            "this admission is by another consortium of the same name than the one this machine enrolled with; ask the "
            "consortium, or take part in the other under its own name",
            code="identity.foreign",
        )

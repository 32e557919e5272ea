"""`collegium-consortium`: the ceremony of the consortium, offline, on one directory."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from deploy.consortium import options, study_commands
from deploy.consortium.authority import Authority
from deploy.consortium.options import Days, Directory, Output, PassphraseFile, opened
from privacy import console
from privacy.channel import roster_statement
from privacy.channel.admission import Admission, Request
from privacy.channel.envelope import Signed
from privacy.channel.files import publish, write_secret
from privacy.channel.member import Member, Role
from privacy.channel.roster_statement import Reason, RosterStatement
from privacy.configuration import load
from privacy.console import AsJson
from privacy.digest import Json
from privacy.errors import ConfigError
from privacy.token.description import TokenDescription

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Start a consortium, admit its members and sign its studies: offline, by whoever holds its keys.\n\n"
    "In this order: init, token, admit, study explain, study sign, roster-statement; later renew and revoke.",
)
app.add_typer(study_commands.app, name="study")


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="New directory; keep it offline and backed up.")],
    name: Annotated[str, typer.Option(help="Name of the consortium, part of every member's identity.")],
    passphrase_file: PassphraseFile = None,
    pkcs11: Annotated[
        Path | None,
        typer.Option(help="File that describes a token (pkcs11.yaml), to make the keys in.", show_default="in files"),
    ] = None,
    plain_keys: Annotated[
        bool, typer.Option("--plain-keys", help="No passphrase: for a trial, or where the disk is encrypted.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the consortium's CA and study-signing key: under a passphrase, which is asked for, or in a token.

    \b
    Example:
    collegium-consortium init consortium --name chest-net --passphrase-file passphrase.txt
    """
    if (passphrase_file is not None) + (pkcs11 is not None) + plain_keys > 1:
        raise ConfigError("--passphrase-file, --pkcs11 and --plain-keys exclude each other; give one of them")
    words = None if plain_keys or pkcs11 is not None else options.words(passphrase_file, confirm=True)
    described = None if pkcs11 is None else load(pkcs11, TokenDescription)
    authority = Authority.create(directory, name, datetime.now(UTC), words, described)
    console.emit(
        {
            "consortium": authority.name,
            "consortium_fingerprint": authority.fingerprint,
            "next": "read the fingerprint to each member by phone when it enrols",
        },
        as_json=as_json,
    )


@app.command()
def token(
    role: Annotated[Role, typer.Argument(help="What the new member will be.")],
    name: Annotated[str, typer.Argument(help="Its name.")],
    directory: Directory,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the token to this file (0600) and do not print it.")
    ] = None,
    hours: Annotated[int, typer.Option(min=1, max=24 * 90, help="How long it can be used.")] = 72,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Invite a member: a one-time token for this role and name. Hand it over by a private way.

    \b
    Example:
    collegium-consortium token silo st-marys --dir consortium -o st-marys.token
    """
    authority = opened(directory, passphrase_file)
    until = datetime.now(UTC) + timedelta(hours=hours)
    secret = authority.register.invite(Member(authority.name, role, name), until)
    if output is not None:
        write_secret(output, secret.encode() + b"\n")
    shown: dict[str, Json] = {"role": role.value, "name": name, "expires": until.isoformat(timespec="seconds")}
    shown |= {"token": secret} if output is None else {"token_file": str(output)}
    if as_json or output is not None:
        console.emit(shown, as_json=as_json)
    else:
        typer.echo(secret)


@app.command()
def admit(
    request: Annotated[Path, typer.Argument(help="The file that the new member's 'init' wrote.")],
    directory: Directory,
    output: Output,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Check a request against its token and issue the certificate; again gives the same answer.

    \b
    Example:
    collegium-consortium admit request.json --dir consortium -o admission.json
    """
    authority = opened(directory, passphrase_file)
    asked = load(request, Request)
    _hand_over(authority, authority.admit(asked, datetime.now(UTC)), asked, output, as_json)


@app.command()
def renew(
    role: Annotated[Role, typer.Argument(help="The member's role.")],
    name: Annotated[str, typer.Argument(help="The member's name.")],
    directory: Directory,
    output: Output,
    request: Annotated[
        Path | None,
        typer.Option(help="The silo's own request for a new TLS key, out of its aggregator's renewals/pending."),
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Issue a new certificate for an admitted member.

    Without --request it is for the member's present keys, and the member runs 'enrol' with it. With --request, a file
    of an aggregator's renewals/pending, put it into renewals/answers there: the silo takes it up by itself.

    \b
    Example:
    collegium-consortium renew silo st-marys --dir consortium -o admission.json
    """
    authority = opened(directory, passphrase_file)
    asked = None if request is None else load(request, Request)
    admission = authority.renew(Member(authority.name, role, name), datetime.now(UTC), asked)
    _hand_over(authority, admission, authority.register.named(role, name).request, output, as_json)


@app.command()
def revoke(
    role: Annotated[Role, typer.Argument(help="The member's role.")],
    name: Annotated[str, typer.Argument(help="The member's name.")],
    directory: Directory,
    reason: Annotated[Reason, typer.Option(help="Why, as RFC 5280 calls it.")],
    output: Output,
    days: Days = 30,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a member for good: a new roster statement says so. Give it to every aggregator at once.

    \b
    Example:
    collegium-consortium revoke silo st-marys --dir consortium --reason key-compromise -o roster-statement.json
    """
    authority = opened(directory, passphrase_file)
    request = authority.admitted(role, name)
    signed = authority.revocations.revoke(request, reason, datetime.now(UTC), timedelta(days=days))
    _state(signed, output, as_json)


@app.command("roster-statement")
def roster_statement_(
    directory: Directory,
    output: Output,
    days: Days = 30,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Sign a new roster statement: who is revoked, and until when that holds. Renew it before it expires.

    \b
    Example:
    collegium-consortium roster-statement --dir consortium -o roster-statement.json
    """
    signed = opened(directory, passphrase_file).revocations.renew(datetime.now(UTC), timedelta(days=days))
    _state(signed, output, as_json)


def _state(signed: Signed, output: Path, as_json: bool) -> None:
    publish(output, roster_statement.dump(signed))
    statement = RosterStatement.model_validate_json(signed.body)
    revoked: list[Json] = [f"{member.role} {member.name}: {member.reason}" for member in statement.revoked]
    console.emit(
        {
            "serial": statement.serial,
            "expires": statement.expires,
            "revoked": revoked,
            "statement": str(output),
            "next": "give the file to the aggregator (serve --roster-statement), which reads it again by itself",
        },
        as_json=as_json,
    )


def _hand_over(authority: Authority, admission: Admission, asked: Request, output: Path, as_json: bool) -> None:
    publish(output, admission.model_dump_json(indent=2).encode() + b"\n")
    hosts: list[Json] = list(asked.hosts)
    console.emit(
        {
            "member": asked.member.uri,
            "hosts": hosts,
            "fingerprint": asked.fingerprint,
            "consortium_fingerprint": authority.fingerprint,
            "admission": str(output),
            "next": "compare both fingerprints with the member by phone",
        },
        as_json=as_json,
    )


def main() -> None:
    """The command's entry point."""
    console.run(app)


if __name__ == "__main__":
    main()

"""`collegium-consortium`: the ceremony of the consortium, offline, on one directory."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from deploy.consortium.authority import Authority
from deploy.consortium.signing import sign_draft
from privacy import console
from privacy.channel import passphrase, roster_statement
from privacy.channel.admission import Admission, Request
from privacy.channel.envelope import Signed
from privacy.channel.files import publish, write_secret
from privacy.channel.member import Member, Role
from privacy.channel.roster_statement import MAX_LIFE, Reason, RosterStatement
from privacy.configuration import load
from privacy.digest import Json
from privacy.errors import ConfigError
from privacy.study import dump
from privacy.token.description import TokenDescription

app = typer.Typer(no_args_is_help=True, help="Start a consortium, admit its members and sign its studies.")
study_app = typer.Typer(no_args_is_help=True, help="Sign studies.")
app.add_typer(study_app, name="study")

Directory = Annotated[Path, typer.Option("--dir", help="The consortium's directory.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="File to write.")]
Days = Annotated[int, typer.Option(min=1, max=MAX_LIFE.days, help="How long the statement holds.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="File that holds the passphrase of the consortium's keys.",
        envvar="COLLEGIUM_PASSPHRASE_FILE",
        show_default="ask, if they have one",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


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
    words = None if plain_keys or pkcs11 is not None else _passphrase(passphrase_file, confirm=True)
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
    """Invite a member: a one-time token for this role and name. Hand it over on a private way.

    \b
    Example:
    collegium-consortium token silo st-marys --dir consortium -o st-marys.token
    """
    authority = _opened(directory, passphrase_file)
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
    authority = _opened(directory, passphrase_file)
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
        typer.Option(help="What it asks by way of its aggregator: a certificate for a new TLS key."),
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
    authority = _opened(directory, passphrase_file)
    asked = None if request is None else load(request, Request)
    admission = authority.renew(Member(authority.name, role, name), datetime.now(UTC), asked)
    _hand_over(authority, admission, authority.register.named(role, name).request, output, as_json)


@app.command()
def revoke(
    role: Annotated[Role, typer.Argument(help="The member's role.")],
    name: Annotated[str, typer.Argument(help="The member's name.")],
    directory: Directory,
    reason: Annotated[Reason, typer.Option(help="Why.")],
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
    authority = _opened(directory, passphrase_file)
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
    signed = _opened(directory, passphrase_file).revocations.renew(datetime.now(UTC), timedelta(days=days))
    _state(signed, output, as_json)


@study_app.command("sign")
def study_sign(
    draft: Annotated[Path, typer.Argument(help="The study; silos and aggregator may be given by name.")],
    directory: Directory,
    output: Output,
    weights: Annotated[
        Path | None, typer.Option(help="The safetensors file that the study starts from, if it names one.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Complete a draft (identity keys, threshold, noise, length of an upload) and sign it.

    \b
    Example:
    collegium-consortium study sign draft.yaml --dir consortium -o study.yaml
    """
    completed = sign_draft(_opened(directory, passphrase_file), draft, weights)
    study = completed.signed.study
    publish(output, dump(completed.signed).encode())
    fingerprints: dict[str, Json] = {party.name: party.fingerprint for party in study.roster.silos}
    shown: dict[str, Json] = {
        "study": study.name,
        "digest": study.digest().hex(),
        "roster_code": study.roster.code,
        "threshold": study.roster.threshold,
        "values": study.upload_length,
        "epsilon": completed.epsilon,
        "delta": study.privacy.delta,
        "noise_multiplier": study.privacy.noise_multiplier,
        "aggregator": {study.roster.aggregator.name: study.roster.aggregator.fingerprint},
        "silos": fingerprints,
    }
    if as_json:
        console.emit(shown, as_json=True)
        return
    protection = (
        "none: this study trains without differential privacy"
        if completed.epsilon is None
        else f"epsilon {completed.epsilon:.3f} at delta {study.privacy.delta} for each patient, after all rounds"
    )
    lines: dict[str, Json] = {key: shown[key] for key in ("study", "digest", "roster_code", "threshold", "values")}
    lines |= {"privacy": protection, "noise_multiplier": study.privacy.noise_multiplier}
    lines[f"aggregator {study.roster.aggregator.name}"] = study.roster.aggregator.fingerprint
    lines |= {f"silo {silo.name}": silo.fingerprint for silo in study.roster.silos}
    console.emit(lines, as_json=False)


@study_app.command("explain")
def study_explain(
    file: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="A signed study or a draft.")],
    parameters: Annotated[
        int | None, typer.Option(min=1, help="Trainable values of a draft's model: adds bytes and seconds a round.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a study tolerates, how it encrypts, and what a round costs a silo. Needs no key.

    \b
    Example:
    collegium-consortium study explain draft.yaml --parameters 6000
    """
    from deploy.consortium import explanation  # numpy, which no other command needs

    study, signed_by = explanation.read(file)
    found = explanation.explain(study, signed_by, parameters)
    console.emit(explanation.as_json(found) if as_json else explanation.in_words(found), as_json=as_json)


@study_app.command("from-bundle")
def study_from_bundle(
    configuration: Annotated[Path, typer.Argument(help="Of a MONAI Bundle, such as configs/inference.json.")],
    weights: Annotated[Path | None, typer.Option(help="A safetensors file to start from.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a draft's model must be for the network of a MONAI Bundle. Executes nothing of the bundle; needs no key.

    \b
    Example:
    collegium-consortium study from-bundle spleen/configs/inference.json --json
    """
    from deploy.consortium import starting  # torch, which no other command needs

    found = starting.model(configuration, weights)
    if not as_json:
        found["model"] = json.dumps(found["model"])
    console.emit(found, as_json=as_json)


def _passphrase(file: Path | None, *, confirm: bool = False) -> str:
    return passphrase.ask("the consortium's keys", confirm=confirm) if file is None else passphrase.read(file)


def _opened(directory: Path, passphrase_file: Path | None) -> Authority:
    return Authority.open(directory, lambda: _passphrase(passphrase_file))


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

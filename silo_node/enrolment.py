"""`collegium-silo init` and `enrol`: keys made in the hospital, a request out, a certificate in."""

from pathlib import Path
from typing import Annotated

import typer

from privacy.channel import enrolment
from privacy.channel.member import Member, Role
from privacy.configuration import load
from privacy.console import AsJson, emit
from privacy.ledger.facts.ending import refuse_decommissioned
from privacy.token.description import TokenDescription
from silo_node import configuration

State = Annotated[Path, typer.Option("--state", help="State directory of this silo.")]


def init(
    state: State,
    name: Annotated[str, typer.Option(help="Name of this silo, as the token was issued for.")],
    consortium: Annotated[str, typer.Option(help="Name of the consortium.")],
    token_file: Annotated[Path, typer.Option(help="File that holds the one-time enrolment token.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the request.")],
    pkcs11: Annotated[
        Path | None,
        typer.Option(help="File that describes a token (pkcs11.yaml), to make the keys in.", show_default="in files"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make this silo's keys, which never leave it, and write the request to be admitted.

    With --pkcs11 the keys for identity and TLS are made in a token, which nobody can take them out of.
    With keys made before it asks another consortium with the same ones, and keeps ledger and budgets.

    \b
    Example:
    collegium-silo init --state /var/lib/collegium --name st-marys \\
        --consortium chest-net --token-file token.txt -o request.json
    """
    refuse_decommissioned(state)
    described = None if pkcs11 is None else load(pkcs11, TokenDescription)
    request = enrolment.begin(state, Member(consortium, Role.SILO, name), (), token_file, output, described)
    configuration.write_default(state)
    emit(enrolment.describe_request(request, output), as_json=as_json)


def enrol(
    admission: Annotated[Path, typer.Argument(help="The file that 'collegium-consortium admit' wrote.")],
    state: State,
    as_json: AsJson = False,
) -> None:
    """Check the consortium's answer against the keys made here, and keep it. Also takes a renewed certificate.

    \b
    Example:
    collegium-silo enrol admission.json --state /var/lib/collegium
    """
    refuse_decommissioned(state)
    emit(enrolment.describe_identity(enrolment.finish(state, admission)), as_json=as_json)

"""`collegium-aggregator init` and `enrol`: keys made where it runs, a request out, a certificate in."""

from pathlib import Path
from typing import Annotated

import typer

from privacy.channel import enrolment
from privacy.channel.member import Member, Role
from privacy.console import AsJson, emit

State = Annotated[Path, typer.Option("--state", help="State directory of this aggregator.")]


def init(
    state: State,
    name: Annotated[str, typer.Option(help="Name of this aggregator, as the token was issued for.")],
    consortium: Annotated[str, typer.Option(help="Name of the consortium.")],
    token_file: Annotated[Path, typer.Option(help="File that holds the one-time enrolment token.")],
    hosts: Annotated[list[str], typer.Option("--host", help="DNS name or IP address that silos dial; repeatable.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the request.")],
    as_json: AsJson = False,
) -> None:
    """Make the aggregator's keys, which never leave it, and write the request to be admitted.

    \b
    Example:
    collegium-aggregator init --state /var/lib/collegium --name hub \\
        --consortium chest-net --host agg.example.org --token-file token.txt -o request.json
    """
    request = enrolment.begin(state, Member(consortium, Role.AGGREGATOR, name), tuple(hosts), token_file, output)
    emit(enrolment.describe_request(request, output), as_json=as_json)


def enrol(
    admission: Annotated[Path, typer.Argument(help="The file that 'collegium-consortium admit' wrote.")],
    state: State,
    as_json: AsJson = False,
) -> None:
    """Check the consortium's answer against the keys made here, and keep it. Also takes a renewed certificate.

    \b
    Example:
    collegium-aggregator enrol admission.json --state /var/lib/collegium
    """
    emit(enrolment.describe_identity(enrolment.finish(state, admission)), as_json=as_json)

"""`collegium-silo doctor`: what keeps this silo from working, a row a check, and how to mend it. Changes nothing."""

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from privacy.channel import roster_statement
from privacy.errors import ConfigError, IdentityError
from privacy.operations import findings, machine, reach
from privacy.operations.findings import Check
from silo_node import configuration
from silo_node.cohorts import archives
from silo_node.rounds.round_vault import default_folder
from silo_node.state import PROXY_CA_FILE, StateDirectory

GPU = Path("/proc/driver/nvidia/version")


def doctor(
    state: Annotated[Path, typer.Option("--state", help="State directory of this silo.")],
    aggregator: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of the aggregator, to check the way to it.", show_default="not checked"),
    ] = None,
    pacs: Annotated[
        Path | None, typer.Option(help="File that names the image archive, to ask it.", show_default="not checked")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check everything that a silo needs, and say how to mend what is wrong. Exits with the first failure's code.

    Example: collegium-silo doctor --state /var/lib/collegium --aggregator aggregator.example.org:8443
    """
    directory = StateDirectory(state)
    checks: list[Check] = [
        *machine.checks(state),
        ("roster statement", partial(statement, directory, datetime.now(UTC))),
        ("policy", partial(_policy, state)),
        ("line", partial(line, directory)),
        ("memory for secrets", partial(_runtime, state)),
        ("GPU", gpu),
    ]
    if aggregator is not None:
        # Not enrolled is told by the check of the name; without our CA there is nobody to recognise.
        with suppress(IdentityError):
            checks += reach.checks(directory.identity(), aggregator, directory.proxy(), _trusted(directory))
    if pacs is not None:
        checks.append(("PACS echo", partial(_echo, pacs)))
    findings.show(findings.examine(checks), as_json=as_json)


def statement(directory: StateDirectory, now: datetime) -> str:
    """Whether the newest roster statement that was seen holds by our clock, which a wrong clock denies.

    Raises IdentityError: expired, or from the future; CorruptState: damaged.
    """
    newest = directory.statements(directory.identity()).newest
    if newest is None:
        return "none seen yet"
    newest.check_current(now)
    left = roster_statement.at(newest.expires) - now
    return f"serial {newest.serial}, {left.days} days left"


def line(directory: StateDirectory) -> str:
    """How the line to the aggregator is protected. Raises ConfigError: its files do not say so together."""
    if configuration.read(directory.root).one_way_tls:
        directory.proxy_authorities()
        return "one-way TLS: the proxy opens it, every message is signed"
    if (directory.root / PROXY_CA_FILE).exists():
        raise findings.Doubtful(
            f"there is a {PROXY_CA_FILE}, which is not used; set one_way_tls in silo.yaml if the consortium allows that"
            " here, else remove the file"
        )
    return "mutual TLS"


def _trusted(directory: StateDirectory) -> bytes | None:
    """Who vouches for a one-way line; None too where the check of the line tells what is wrong with it."""
    with suppress(ConfigError):
        return directory.proxy_authorities() if configuration.read(directory.root).one_way_tls else None
    return None


def gpu(source: Path = GPU) -> str:
    """Whether there is one."""
    if not source.exists():
        return "none: training runs on the processor"
    return source.read_text().splitlines()[0][:100]


def _policy(state: Path) -> str:
    policy = configuration.read(state).policy
    if not (policy.cohorts and policy.allowed_tasks and policy.allowed_models):
        raise findings.Doubtful("silo.yaml allows nothing yet; write down what studies may use")
    return f"cohorts {', '.join(policy.cohorts)}; epsilon at most {policy.max_epsilon:g}"


def _runtime(state: Path) -> str:
    default_folder(state)
    return "there is a /dev/shm"


def _echo(pacs: Path) -> str:
    return f"answers by {archives.ask(pacs)}"

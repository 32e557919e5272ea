"""`collegium-aggregator doctor`: what keeps this aggregator from serving, and how to mend it. Changes nothing."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from aggregator.configuration import AggregatorConfig
from aggregator.renewals import waiting
from aggregator.roster_file import STATEMENT_FILE
from aggregator.serving import one_way_port
from privacy.channel.identity import Identity
from privacy.channel.member import Role
from privacy.channel.statement_memory import StatementMemory
from privacy.configuration import load
from privacy.console import AsJson
from privacy.errors import ConfigError
from privacy.operations import findings, machine, route, secret_files
from privacy.operations.findings import Check
from privacy.study import load_signed


def doctor(
    state: Annotated[Path, typer.Option("--state", help="State directory of this aggregator.")],
    at: Annotated[
        str | None,
        typer.Option(help="HOST:PORT where silos dial it, to look at it as they do.", show_default="not checked"),
    ] = None,
    study_file: Annotated[
        Path | None,
        typer.Option(
            "--study", help="The signed study, to compare the configuration with it.", show_default="not compared"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check all that an aggregator needs, and say how to mend what is wrong. Exits with the first failure's code.

    Example:
    collegium-aggregator doctor --state /var/lib/collegium --study study.yaml \\
        --at aggregator.example.org:8443
    """
    if not state.is_dir():
        raise ConfigError(f"there is no state directory '{state.name}'; run 'collegium-aggregator init' first")
    checks: list[Check] = [
        *machine.checks(state, Role.AGGREGATOR, secret_files.COMMON, needed_memory=2**30),
        ("roster statement", partial(machine.statement, partial(_statements, state), datetime.now(UTC))),
        ("renewals", partial(_renewals, state)),
        ("configuration", partial(_configuration, state, study_file)),
        ("status", partial(_status, state)),
    ]
    if at is not None:
        checks += findings.begun("connection", lambda: route.checks(Identity.load(state / "identity"), at))
    findings.show(findings.examine(checks), as_json=as_json)


def _configuration(state: Path, study_file: Path | None) -> str:
    path = state / "aggregator.yaml"
    config = load(path, AggregatorConfig) if path.exists() else AggregatorConfig()
    if study_file is not None:
        one_way_port.check_names(config, load_signed(study_file, Identity.load(state / "identity").study_key))
    elif config.one_way_tls:
        raise findings.Doubtful(
            f"one-way TLS for {', '.join(config.one_way_tls)}, which was not compared with a roster; give --study"
        )
    lines = f"; one-way TLS for {', '.join(config.one_way_tls)}" if config.one_way_tls else ""
    return f"uploads of {config.max_upload_bytes / 2**20:.0f} MiB at most{lines}"


def _renewals(state: Path) -> str:
    """Whether a silo waits for a person to answer its request for a new certificate."""
    open_ = [one for one in waiting(state) if not one.answered]
    if open_:
        names = ", ".join(f"{one.silo} since {one.since:%Y-%m-%d %H:%M} UTC" for one in open_)
        raise findings.Doubtful(f"{len(open_)} unanswered ({names}); {open_[0].mend()}")
    return "none unanswered"


def _statements(state: Path) -> StatementMemory:
    identity = Identity.load(state / "identity")
    return StatementMemory(state / STATEMENT_FILE, identity.member.consortium, identity.study_key)


def _status(state: Path) -> str:
    from privacy.operations import live

    found = live.read(state)
    if found is None or not found.running:
        raise findings.Doubtful("it does not run; start 'collegium-aggregator serve'")
    return f"runs, said so {(datetime.now(UTC) - found.at).total_seconds():.0f} s ago"

"""`collegium-silo doctor`: what keeps this silo from working, a row a check, and how to mend it.

It changes nothing but the log of what left, where what `--aggregator` sends is counted.
"""

import os
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from privacy.channel.member import Role
from privacy.console import AsJson
from privacy.errors import StorageError
from privacy.operations import findings, machine
from privacy.operations.findings import Check
from silo_node import configuration
from silo_node.cohorts import archives
from silo_node.operations.to_aggregator import ToAggregator
from silo_node.rounds.round_vault import default_folder
from silo_node.state import PROXY_CA_FILE, SECRET, StateDirectory

GPU = Path("/proc/driver/nvidia/version")
MOUNTS = Path("/proc/self/mountinfo")
IN_MEMORY = frozenset({"tmpfs", "ramfs"})


def doctor(
    state: Annotated[Path, typer.Option("--state", help="State directory of this silo.")],
    aggregator: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of the aggregator, to check the way to it and call it.", show_default="not checked"
        ),
    ] = None,
    pacs: Annotated[
        Path | None, typer.Option(help="File that names the image archive, to ask it.", show_default="not checked")
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(help="Name of the approved study that the aggregator is to serve (when there are several)."),
    ] = None,
    runtime: Annotated[
        Path | None, typer.Option(help="Memory-backed folder for a round's secrets.", show_default="in /dev/shm")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check everything that a silo needs, and say how to mend what is wrong. Exits with the first failure's code.

    Example: collegium-silo doctor --state /var/lib/collegium --aggregator aggregator.example.org:8443
    """
    directory = StateDirectory(state)
    checks: list[Check] = [
        *machine.checks(state, Role.SILO, SECRET),
        ("roster statement", partial(statement, directory, datetime.now(UTC))),
        ("policy", partial(_policy, state)),
        ("line", partial(line, directory)),
        ("memory for secrets", partial(memory_for_secrets, state, runtime)),
        ("GPU", gpu),
    ]
    if aggregator is not None:
        checks += findings.begun("aggregator", lambda: ToAggregator(directory, aggregator, study).checks())
    if pacs is not None:
        checks.append(("PACS echo", partial(_echo, pacs)))
    findings.show(findings.examine(checks), as_json=as_json)


def statement(directory: StateDirectory, now: datetime) -> str:
    """As `machine.statement`."""
    return machine.statement(lambda: directory.statements(directory.identity()), now)


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


def memory_for_secrets(state: Path, runtime: Path | None, mounts: Path = MOUNTS) -> str:
    """Whether a round's secrets have a place in memory.

    Raises ConfigError: there is none; StorageError: it cannot be written to; Doubtful: it is on a disk.
    """
    folder = runtime if runtime is not None else default_folder(state)
    there = next((path for path in (folder, *folder.resolve().parents) if path.is_dir()), folder)
    if not os.access(there, os.W_OK | os.X_OK):
        raise StorageError(
            "the folder for a round's secrets cannot be written to; give it to the user of the silo, or name another "
            "with --runtime, here and at 'run'"
        )
    if _kind(there.resolve(), mounts) not in IN_MEMORY:
        raise findings.Doubtful(
            "the folder for a round's secrets is on a disk, which keeps them; name a folder on a tmpfs with --runtime, "
            "here and at 'run'"
        )
    return "in the folder that --runtime names" if runtime is not None else "in /dev/shm"


def gpu(source: Path = GPU) -> str:
    """Whether there is one."""
    if not source.exists():
        return "none: training runs on the processor"
    return f"not used, training runs on the processor: {source.read_text().splitlines()[0][:100]}"


def _kind(folder: Path, mounts: Path) -> str:
    """The type of the file system that a folder is on: that of the longest mount point above it, and the newest."""
    best, kind = -1, ""
    for row in mounts.read_text().splitlines():
        before, _, after = row.partition(" - ")
        point = Path(before.split(" ")[4].replace("\\040", " "))
        if folder.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split(" ")[0]
    return kind


def _policy(state: Path) -> str:
    policy = configuration.read(state).policy
    if not (policy.cohorts and policy.allowed_tasks and policy.allowed_models):
        raise findings.Doubtful("silo.yaml allows nothing yet; write down what studies may use")
    return f"cohorts {', '.join(policy.cohorts)}; epsilon at most {policy.max_epsilon:g}"


def _echo(pacs: Path) -> str:
    return f"answers by {archives.ask(pacs)}"

"""`collegium-silo doctor`: what keeps this silo from working, a row a check, and how to mend it.

With `--aggregator` one call of the health service is made as this silo, entered in the log of what left like any other;
nothing else is written.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from privacy.channel.identity import Identity
from privacy.channel.member import Role
from privacy.channel.one_way.line import Way
from privacy.channel.tls import host_and_port
from privacy.errors import ConfigError, IdentityError, StorageError
from privacy.operations import findings, machine, reach
from privacy.operations.asking import Asking
from privacy.operations.findings import Check, NotChecked
from silo_node import configuration
from silo_node.cohorts import archives
from silo_node.egress.channel import open_channel
from silo_node.egress.log import EgressLog
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
        str | None, typer.Option(help="Name of the approved study, for a one-way line (when there are several).")
    ] = None,
    runtime: Annotated[
        Path | None, typer.Option(help="Memory-backed folder for a round's secrets.", show_default="in /dev/shm")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
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
        # Not enrolled is told by the check of the name; without our CA there is nobody to recognise.
        with suppress(IdentityError):
            checks += findings.in_order(way(directory, directory.identity(), aggregator, study))
    if pacs is not None:
        checks.append(("PACS echo", partial(_echo, pacs)))
    findings.show(findings.examine(checks), as_json=as_json)


def way(directory: StateDirectory, identity: Identity, target: str, study: str | None) -> Iterator[Check]:
    """The steps of the way to the aggregator, and the call at its end. Raises ConfigError: not HOST:PORT."""
    trusted = _trusted(directory)
    own = directory.proxy()
    proxy = own or reach.proxy_for(host_and_port(target)[0])
    yield from reach.checks(identity, target, proxy, trusted)

    @contextmanager
    def opened() -> Iterator[object]:
        if directory.root.stat().st_uid != os.geteuid():
            raise NotChecked("not called, as what is counted as left could then not be written by the silo's own user")
        one_way, digest, approval = _one_way(directory, identity, study, trusted)
        with (
            closing(EgressLog(directory.root, digest, approval)) as egress,
            closing(open_channel(identity, target, egress, own, one_way)) as channel,
        ):
            yield channel

    yield from Asking(identity, target, proxy, trusted, opened).checks()


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


def _one_way(
    directory: StateDirectory, identity: Identity, study: str | None, trusted: bytes | None
) -> tuple[Way | None, str, str]:
    """What a one-way line needs of an approved study, and the digests that its messages are counted under."""
    if trusted is None:
        return None, "", ""
    from silo_node.approvals.approval import load_approved  # slow to import, for its accountants

    signed, approved = load_approved(directory.study(directory.chosen(study)), identity.study_key)
    return Way.of(signed, trusted), signed.digest().hex(), approved.digest


def _trusted(directory: StateDirectory) -> bytes | None:
    """Who vouches for a one-way line; None too where the check of the line tells what is wrong with it."""
    with suppress(ConfigError):
        return directory.proxy_authorities() if configuration.read(directory.root).one_way_tls else None
    return None


def _policy(state: Path) -> str:
    policy = configuration.read(state).policy
    if not (policy.cohorts and policy.allowed_tasks and policy.allowed_models):
        raise findings.Doubtful("silo.yaml allows nothing yet; write down what studies may use")
    return f"cohorts {', '.join(policy.cohorts)}; epsilon at most {policy.max_epsilon:g}"


def _echo(pacs: Path) -> str:
    return f"answers by {archives.ask(pacs)}"

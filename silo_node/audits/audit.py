"""`collegium-silo audit`: attack the training code of this machine with made-up patients, and write down what came out.

It reads no cohort and spends no budget. The result is a file beside the study and one `audited` entry of the ledger
for each bound, with the digest of that file. A bound above the claim is an error. The attacks are in
`silo_node.audits.attacks`.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from privacy import console, durable
from privacy.console import AsJson
from privacy.digest import Json, canonical_json
from privacy.errors import PreflightFailed
from privacy.ledger.facts import software
from privacy.ledger.store import Ledger
from privacy.study import Study
from silo_node.state import StateDirectory, StudyDirectory

if TYPE_CHECKING:
    from privacy.dp.audit.finding import Finding, Inversion

FORMAT: Final = "collegium-audit/1"


@dataclass(frozen=True)
class Audit:
    """What was found, for a study."""

    study: str
    study_digest: str
    findings: "tuple[Finding, ...]"
    inversion: "Inversion"

    @property
    def broken(self) -> bool:
        """Whether any bound is above its claim."""
        return any(found.outcome == "broken" for found in self.findings)

    def to_json(self) -> dict[str, Json]:
        """The record that is written and whose digest the ledger holds."""
        return {
            "format": FORMAT,
            "study": self.study,
            "study_digest": self.study_digest,
            "findings": [found.to_json() for found in self.findings],
            "inversion": self.inversion.to_json(),
        }


def audit(
    state: Annotated[Path, typer.Option("--state", help="State directory of this silo.")],
    study: Annotated[str | None, typer.Option(help="Name of the approved study (when there are several).")] = None,
    threads: Annotated[int, typer.Option(help="Processor threads.", min=1, max=256)] = 1,
    as_json: AsJson = False,
) -> None:
    """Attack this machine's training code with made-up patients: how much does it give away at least?

    No patient is read and no budget is spent. It takes a minute or two and shows how far it is. Exit code 12: broken.

    Example: collegium-silo audit --state /var/lib/collegium --study chest
    """
    from silo_node import PACKAGES
    from silo_node.approvals import approval

    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    directory = StateDirectory(state)
    identity = directory.identity()
    with durable.lock(state), directory.open_ledger(identity) as ledger:
        folder = directory.study(directory.chosen(study))
        signed, _ = approval.load_approved(folder, identity.study_key)
        done = _perform(signed, threads, folder.weights)
        software.enter(ledger, PACKAGES)
        name = write(done, folder, ledger)
    if as_json:
        console.emit({**done.to_json(), "file": name}, as_json=True)
    else:
        print(describe(done), f"\nWritten to {name} beside the study, and to the ledger.")
    check(done, name)


def _perform(signed: Study, threads: int, weights: Path | None) -> Audit:
    from silo_node.audits import attacks

    tasks: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True), transient=True) as bars:

        def progress(what: str, made: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
            bars.update(tasks[what], completed=made)

        findings, drawn = attacks.perform(signed, attacks.FULL, progress, threads, weights)
    return Audit(signed.name, signed.digest().hex(), findings, drawn)


def write(audit: Audit, folder: StudyDirectory, ledger: Ledger) -> str:
    """Write an audit to its file, then to the ledger; returns the file's name. Raises StorageError."""
    data = canonical_json(audit.to_json()) + b"\n"
    digest = hashlib.sha256(data).hexdigest()
    name = f"privacy-audit-{digest[:16]}.json"
    durable.write(folder.root / name, data)
    for found in audit.findings:
        ledger.append(
            "audited",
            {
                "what": f"study {audit.study}: {found.what}",
                "claimed_epsilon": found.claimed_epsilon,
                "lower_bound": found.lower_bound,
                "confidence": found.confidence,
                "guesses": found.guesses,
                "outcome": found.outcome,
                "digest": digest,
            },
        )
    return name


def check(audit: Audit, name: str) -> None:
    """Refuse training code that an audit found broken.

    Raises:
        PreflightFailed: a bound is above its claim (`audit.broken`).
    """
    if audit.broken:
        raise PreflightFailed(
            "the training code of this machine gives less privacy than it claims; do not train with it, and report the "
            f"file {name}",
            code="audit.broken",
        )


def describe(audit: Audit) -> str:
    """The audit for a person."""
    lines = [f"Study {audit.study}, attacked with made-up patients", ""]
    for found in audit.findings:
        lines += [
            f"{found.what}: {found.outcome}",
            f"    epsilon is at least {found.lower_bound:.2f} (confidence {found.confidence:.0%}); "
            f"claimed {found.claimed_epsilon:g} at delta {found.delta:g}",
            f"    {found.correct} of {found.guesses} fixed guesses right, out of {found.canaries} coins; "
            f"{found.accuracy:.1%} when all are guessed",
        ]
    drawn = audit.inversion
    lines += [
        f"drawing a patient's image from an update: {drawn.outcome}",
        f"    correlation with the true image {drawn.protected:.2f} with the study's noise, "
        f"{drawn.unprotected:.2f} without any",
        "",
        "'consistent' means that these attacks did not break it, not that none can.",
    ]
    return "\n".join(lines)

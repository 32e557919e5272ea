"""`collegium-silo`: from enrolling and reading images to running a study and its export. Its composition root."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from privacy import attribution, console, durable
from privacy import study as studies
from privacy.console import AsJson, LogJson, WatchAt
from privacy.errors import CollegiumError, ConfigError, PolicyRefused
from privacy.ledger import commands
from privacy.ledger.facts.closing import check_open
from privacy.operations.events import Events
from privacy.operations.logs import telling
from privacy.release.command import verifying
from silo_node import PACKAGES, configuration, enrolment
from silo_node.audits.audit import audit
from silo_node.budgets import commands as budget
from silo_node.cohorts import archives, deidentification
from silo_node.cohorts import commands as cohort_commands
from silo_node.operations.decommission import decommission
from silo_node.operations.doctor import doctor
from silo_node.operations.revocation import revoke_approval
from silo_node.operations.status import status
from silo_node.operations.stopping import stop
from silo_node.operations.what_leaves import what_leaves
from silo_node.state import StateDirectory

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="A hospital's node of a Collegium consortium.\n\n"
    "In this order: init, enrol, ingest, approve, run, export. What it does: status; what is wrong: doctor.",
)

State = Annotated[Path, typer.Option("--state", help="State directory of this silo.")]

app.command()(enrolment.init)
app.command()(enrolment.enrol)
app.command()(deidentification.deidentify)
app.command()(deidentification.review)
ledger_commands = commands.group("collegium-silo")
app.add_typer(ledger_commands, name="ledger")
app.command()(cohort_commands.ingest)
app.add_typer(cohort_commands.app, name="cohort")
app.command()(cohort_commands.preview)
app.command()(audit)
app.add_typer(budget.app, name="budget")
app.add_typer(archives.app, name="pacs")
app.command()(archives.pull)
app.command()(what_leaves)
app.command()(status)
app.command()(doctor)
app.command()(stop)
app.command()(revoke_approval)
app.command()(decommission)
app.command("verify-release")(verifying("collegium-silo", PACKAGES))


@app.command()
def approve(
    study: Annotated[Path, typer.Argument(help="The signed study.")],
    cohort: Annotated[str, typer.Option(help="The cohort that it may use.")],
    by: Annotated[str, typer.Option(help="Who approves, for the ledger.")],
    state: State,
    confirm: Annotated[
        list[str] | None, typer.Option(help="NAME=HOW: how the roster code was confirmed with a hospital; repeat.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="The safetensors file that the study starts from, if it names one.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; the terms are printed all the same.")] = False,
) -> None:
    """Show what a study reads, sends and costs, and approve it. Nothing is trained without this.

    Example: collegium-silo approve study.yaml --cohort chest --by "Ada Roe" --confirm north=phone --state st-marys
    """
    from silo_node.approvals import approval, checks, costs, explanation

    by = attribution.text("--by", by)
    directory = StateDirectory(state)
    identity = directory.identity()
    policy = configuration.read(state).policy
    with durable.lock(state), directory.open_ledger(identity) as ledger:
        signed = studies.load_signed(study, identity.study_key)
        try:
            signed.roster.index(identity.member.name)
            checks.check_policy(signed, cohort, policy)
            check_open(ledger.entries, cohort)
            checks.check_claims(signed)
            checks.check_weights(signed, weights)
            costs.check_spent(cohort, policy, ledger)
            patients = _patients(directory, cohort, signed)
            print(explanation.describe(signed, cohort, patients, costs.study_cost(signed, cohort, policy, ledger)))
            costs.check_budget(signed, cohort, policy, ledger)
            if not yes and not console.answered(lambda: typer.confirm("Approve this study?")):
                raise PolicyRefused("the study was not approved; nothing was changed", code="policy.declined")
            approval.record(
                study,
                signed,
                cohort,
                by,
                _confirmed(confirm or []),
                policy,
                directory.study(signed.name),
                ledger,
                weights,
            )
        except CollegiumError as error:
            ledger.append("refused", {"study_digest": signed.digest().hex(), "code": error.code, "reason": str(error)})
            raise
    print(f"approved: study '{signed.name}' may use cohort '{cohort}'")


@app.command()
def run(
    state: State,
    aggregator: Annotated[str, typer.Option(help="HOST:PORT of the aggregator.")],
    study: Annotated[str | None, typer.Option(help="Name of the approved study (when there are several).")] = None,
    patience: Annotated[
        float, typer.Option(help="Seconds without an answer of the aggregator before giving up.")
    ] = 600.0,
    progress_json: Annotated[Path | None, typer.Option(help="Append progress events to this file.")] = None,
    threads: Annotated[int, typer.Option(help="Processor threads for training.", min=1, max=256)] = 1,
    runtime: Annotated[
        Path | None, typer.Option(help="Memory-backed folder for a round's secrets.", show_default="in /dev/shm")
    ] = None,
    watch_at: WatchAt = None,
    log_json: LogJson = False,
) -> None:
    """Take part in an approved study to its end; a stopped run goes on where it was.

    Example: collegium-silo run --state /var/lib/collegium --aggregator aggregator.example.org:8443
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    events = Events(sys.stderr, "silo", as_json=log_json)
    with telling(events):
        directory = StateDirectory(state)
        with durable.lock(state):
            from silo_node.program import take_part

            name = directory.chosen(study)
            finished = take_part(
                directory, name, aggregator, patience, progress_json, threads, runtime, watch_at, events
            )
    if log_json:
        return  # it is the last event
    if finished:
        print("the study is finished; 'collegium-silo export' writes the model")
    else:
        print("stopped after its round, as asked; 'run' goes on")


@app.command()
def export(
    state: State,
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the model and its card.")],
    study: Annotated[str | None, typer.Option(help="Name of the study (when there are several).")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the final model as safetensors with a model card; plain MONAI code loads it.

    Example: collegium-silo export --state /var/lib/collegium --study chest -o model/
    """
    from silo_node.program import export_model

    directory = StateDirectory(state)
    with durable.lock(state):
        made = export_model(directory, directory.chosen(study), output)
    console.emit(made.data, as_json=as_json)


@ledger_commands.command()
def recover(
    by: Annotated[str, typer.Option(help="Who decides, for the ledger.")],
    reason: Annotated[str, typer.Option(help="Why entries are missing, for the ledger. No patient data.")],
    state: State,
    study: Annotated[str | None, typer.Option(help="Name of the study (when there are several).")] = None,
    runtime: Annotated[
        Path | None, typer.Option(help="Memory-backed folder for a round's secrets.", show_default="in /dev/shm")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; what follows is printed all the same.")] = False,
) -> None:
    """Go on with an older copy of the ledger, after a start refused it. Lost entries count as spent for good.

    Example: collegium-silo ledger recover --by "Ada Roe" --reason "disk lost, restored from 3 May" --state st-marys
    """
    from silo_node.rounds.round_vault import default_folder
    from silo_node.witnessing import recovery

    def ask(explanation: str) -> bool:
        print(explanation)
        question = "Is there no newer copy, and shall the silo go on with this one?"
        return yes or console.answered(lambda: typer.confirm(question))

    directory = StateDirectory(state)
    with durable.lock(state):
        recovery.recover(directory, directory.chosen(study), by, reason, runtime or default_folder(state), ask)
    print("recovered: the silo can run again")


def main() -> None:
    """Entry point of the command."""
    console.run(app)


def _confirmed(pairs: list[str]) -> dict[str, str]:
    confirmed = {}
    for pair in pairs:
        name, separator, how = pair.partition("=")
        if not separator or not name or not how:
            raise ConfigError("--confirm takes NAME=HOW, for example north=phone")
        confirmed[name] = how
    return confirmed


def _patients(directory: StateDirectory, cohort: str, signed: studies.Study) -> int:
    """How many patients the cohort has, which must be labelled for the study's task. Raises DataError."""
    from silo_node.cohorts.ingestion import open_cohort
    from silo_node.learning import tasks

    opened = open_cohort(directory, cohort)
    tasks.check_cohort(signed, opened)
    return sum(len(opened.patients(split)) for split in ("train", "val", "test"))


if __name__ == "__main__":
    main()

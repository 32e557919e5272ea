"""Builds and runs a silo's part in a study from its state directory; torch is imported once nothing refuses."""

import hashlib
from contextlib import ExitStack, closing
from pathlib import Path

from imaging.cohorts.cohort import Cohort
from privacy import durable
from privacy.channel.cosigning_key import cosigning_keys
from privacy.channel.one_way.line import Way
from privacy.errors import CollegiumError, ConfigError, CorruptState
from privacy.he.workers import cores
from privacy.ledger.facts import software, transport
from privacy.ledger.facts.closing import check_open
from privacy.ledger.store import Ledger
from privacy.operations.endpoint import Endpoint
from privacy.operations.events import Events
from privacy.operations.live import LiveFile
from privacy.operations.pace import Pace
from privacy.randomness import SecureStream
from silo_node import PACKAGES, configuration
from silo_node import export as exporting
from silo_node.approvals import approval, checks, costs
from silo_node.cohorts.ingestion import open_cohort
from silo_node.connection.client import AggregatorClient
from silo_node.connection.renewing import Renewing
from silo_node.connection.silence import Silence
from silo_node.egress.log import EgressLog
from silo_node.export import Card
from silo_node.learning import tasks
from silo_node.learning.transformed import TransformedImages
from silo_node.operations import revocation
from silo_node.operations.metrics import Watched
from silo_node.operations.status import AWAITED
from silo_node.operations.stopping import StopRequest
from silo_node.rounds.agent import Agent
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.progress import Progress
from silo_node.rounds.roster_watch import RosterWatch
from silo_node.rounds.round_vault import default_folder
from silo_node.state import StateDirectory


def take_part(
    directory: StateDirectory,
    name: str,
    target: str,
    patience: float,
    progress_file: Path | None,
    threads: int,
    runtime: Path | None,
    watch_at: str | None = None,
    events: Events | None = None,
) -> bool:
    """Run an approved study to its end, or to the round after which a person stopped it; whether it is finished.

    Raises:
        CollegiumError: whatever refuses; a refusal by policy, budget, accountants or preflight is in the ledger too.
    """
    for unfinished in (directory.root, directory.study(name).root):
        durable.sweep(unfinished)
    identity = directory.identity()
    config = configuration.read(directory.root)
    policy = config.policy
    folder = directory.study(name)
    signed, approved = approval.load_approved(folder, identity.study_key)
    events = events or Events(None, "silo")
    events.begin(signed.name)
    pace = Pace(events.plain, signed.name, signed.training.rounds + 1, AWAITED)
    progress = Progress(progress_file, signed.training.rounds, signed.name, LiveFile(directory.root), events, pace)
    # The client comes first: it refuses a certificate that is out of date, which is then not entered anywhere.
    egress = EgressLog(directory.root, signed.digest().hex(), approved.digest)
    way = Way.of(signed, directory.proxy_authorities()) if config.one_way_tls else None
    silence = Silence(progress)
    client = AggregatorClient(identity, target, signed.digest(), patience, egress, directory.proxy(), way, silence)
    with ExitStack() as stack:
        stack.enter_context(closing(client))
        stack.enter_context(closing(progress))
        stack.enter_context(pace.running())
        ledger = stack.enter_context(directory.open_ledger(identity))
        ledger.listen(events.incident)
        if watch_at is not None:
            seen = Watched(directory.root, ledger, egress, lambda: progress.said)
            stack.enter_context(closing(Endpoint(watch_at, seen.metrics, seen.lacking)))
        stack.enter_context(Renewing(directory.identity_folder, identity, client, events=events).running())
        software.enter(ledger, PACKAGES)
        transport.enter(
            ledger,
            signed.digest().hex(),
            identity.member.name,
            transport.ONE_WAY if way else transport.MUTUAL,
            hashlib.sha256(way.trusted).hexdigest() if way else "",
        )
        try:
            revocation.check(ledger.entries, signed.digest())
            check_open(ledger.entries, approved.cohort)
            checks.check_policy(signed, approved.cohort, policy)
            checks.check_audits(ledger)
            progress.say("phase", 0, phase="loading")
            cohort = open_cohort(directory, approved.cohort)
            _check_recorded(ledger, cohort, approved.cohort)
            tasks.check_cohort(signed, cohort)
            import torch  # seconds to import, which a refusal need not wait for

            from silo_node.learning.learner import Learner

            # Again, though approved: the accountants installed here may have changed since.
            checks.check_claims(signed)
            costs.check_spent(approved.cohort, policy, ledger)
            torch.set_num_threads(threads)
            disk = TransformedImages(folder.transformed, directory.cohort_key(), signed.digest())
            learner = Learner(signed, cohort, SecureStream(), disk, folder.weights)
            progress.say("phase", 0, phase="preflight")
            learner.preflight()
            model = Agent(
                study=signed,
                cohort=approved.cohort,
                identity=identity,
                folder=folder,
                ledger=ledger,
                budget=costs.budget_filter(policy),
                client=client,
                learner=learner,
                stream=SecureStream(),
                progress=progress,
                runtime=runtime or default_folder(directory.root),
                roster=RosterWatch(
                    signed, identity, directory.statements(identity), client, progress, patience=patience
                ),
                cosigner=cosigning_keys(directory.root, identity),
                processes=cores(),
                witnesses_required=policy.witnesses_required,
                stop=StopRequest(directory.root),
            ).run()
            finished = model.round_number > signed.training.rounds
            if finished:
                disk.forget()
        except CollegiumError as error:
            _record(ledger, signed.digest(), error)
            raise
    return finished


def export_model(directory: StateDirectory, name: str, output: Path) -> Card:
    """Write the final model of a study; see `silo_node.export`."""
    identity = directory.identity()
    folder = directory.study(name)
    signed, _ = approval.load_approved(folder, identity.study_key)
    if not folder.model_file.exists():
        raise ConfigError("no round of the study has ended here yet; run it to its end first", code="export.unfinished")
    with directory.open_ledger(identity) as ledger:
        return exporting.export(signed, GlobalModel.load(folder.model_file), ledger, output, folder.weights)


def _check_recorded(ledger: Ledger, cohort: Cohort, name: str) -> None:
    """The cohort on disk must be the one whose ingestion the ledger holds under the name that will be charged."""
    recorded = [e.body["digest"] for e in ledger.entries if e.kind == "cohort" and e.body["cohort"] == name]
    if recorded != [cohort.digest]:
        raise CorruptState(
            f"cohort '{name}' is not the one that the ledger recorded; ingest it again under a new name",
            code="cohort.unrecorded",
        )


def _record(ledger: Ledger, digest: bytes, error: CollegiumError) -> None:
    refusals = ("policy.refused", "budget.exceeded", "preflight.failed")
    if error.default_code in refusals or error.code in ("accountant.disagreement", "study.false_epsilon"):
        ledger.append("refused", {"study_digest": digest.hex(), "code": error.code, "reason": str(error)})

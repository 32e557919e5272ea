"""`collegium-silo approve`: what a study would read, send and cost, in plain words, and the answer.

Nothing is trained without an approval; it is bound to the study's digest and a cohort, names who gave
it and how each hospital of the roster was confirmed, and is an entry of the ledger before it counts.
The hospital's policy and the study's epsilon, by two accountants, are checked here and again before each run.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from privacy import durable, study
from privacy.configuration import Strict
from privacy.digest import canonical_json
from privacy.dp import accounting
from privacy.dp.events import DpEvent, DpSgdEvent, UnprotectedEvent, to_json
from privacy.errors import BudgetExceeded, CorruptState, PolicyRefused, PreflightFailed, StudyError
from privacy.he.params import CiphertextParams
from privacy.ledger import audits
from privacy.ledger.budget import BudgetFilter, Cap, charged
from privacy.ledger.entry import Entry
from privacy.ledger.store import Ledger
from privacy.roster import Roster
from privacy.study import Study
from silo_node import tasks
from silo_node.configuration import Policy
from silo_node.state import StudyDirectory


class Approval(Strict):
    """`approval.json`: the cohort that a study may use here, and who said so."""

    study_digest: str
    cohort: str
    by: str

    @property
    def digest(self) -> str:
        """SHA-256 of its canonical JSON, hex: what the log of what left names it by."""
        return hashlib.sha256(canonical_json(self.model_dump())).hexdigest()


@dataclass(frozen=True)
class Cost:
    """Epsilon at the cap's delta of the cohort: already charged, and after the whole study."""

    before: float
    after: float
    cap: Cap


def round_event(signed: Study, rounds: int = 1) -> DpEvent:
    """The event of `rounds` rounds of a study at one silo.

    Raises:
        StudyError: the study gives no noise for its mechanism.
    """
    steps = signed.training.local_steps * rounds
    if signed.privacy.mechanism == "none":
        return UnprotectedEvent(steps)
    if signed.privacy.noise_multiplier is None:
        raise StudyError("the study has no noise multiplier; it must be signed by 'study sign', which adds it")
    return DpSgdEvent(signed.privacy.sampling_rate, signed.privacy.noise_multiplier, steps)


def check_policy(signed: Study, cohort: str, policy: Policy) -> None:
    """Compare a study with the hospital's policy.

    Raises:
        PolicyRefused: naming the first rule that forbids it.
    """
    rules = (
        (signed.task.kind in policy.allowed_tasks, f"the task '{signed.task.kind}' is not in allowed_tasks"),
        (signed.model.name in policy.allowed_models, f"the model '{signed.model.name}' is not in allowed_models"),
        (cohort in policy.cohorts, f"the cohort '{cohort}' is not in cohorts"),
        (
            signed.privacy.mechanism != "none" or policy.allow_without_dp,
            "it trains without differential privacy, which allow_without_dp forbids",
        ),
        (
            signed.privacy.epsilon is None or signed.privacy.epsilon <= policy.max_epsilon,
            f"its epsilon is above max_epsilon {policy.max_epsilon}",
        ),
    )
    for holds, reason in rules:
        if not holds:
            raise PolicyRefused(
                f"this hospital's policy refuses the study: {reason}; change silo.yaml only if the hospital decides so"
            )


def check_claims(signed: Study) -> None:
    """Recompute the study's epsilon with two accountants, and see that its ring suits the length of an upload.

    Raises:
        StudyError: the noise does not give the epsilon that the study claims, the ring is not the right one, or the
            study does not say how long an upload is. (Whether it is that long is seen where the model is built.)
    """
    CiphertextParams.for_study(signed.encryption, len(signed.roster.silos)).check_length(signed.upload_length)
    if signed.privacy.mechanism == "none" or signed.privacy.delta is None or signed.privacy.epsilon is None:
        return
    spend = accounting.spend([round_event(signed, signed.training.rounds)], signed.privacy.delta, with_prv=True)
    if max(spend.pld, spend.prv or 0.0) > signed.privacy.epsilon:
        raise StudyError(
            "the study's noise does not give the epsilon it claims; ask the consortium to sign it again",
            code="study.false_epsilon",
        )


def check_weights(signed: Study, weights: Path | None) -> None:
    """See that the weights that a study starts from are given, are the pinned ones, and fit its model.

    Raises:
        ConfigError: not given, or given to a study that starts from its seed. DataError: others, or they do not fit.
    """
    if tasks.starting_file(signed, weights) is not None:
        tasks.network(signed, weights)  # torch is imported only for a study that has such weights


def check_audits(ledger: Ledger) -> None:
    """Refuse code whose newest audit broke its claim.

    Raises:
        PreflightFailed: an attack refuted it and was not made again since (`audit.broken`).
    """
    if broken := audits.refuting(ledger.entries):
        raise PreflightFailed(
            f"an audit found that the training code of this machine gives less privacy than it claims "
            f"({'; '.join(broken)}); install code that is mended, or audit it again until the audit is consistent",
            code="audit.broken",
        )


def check_spent(cohort: str, policy: Policy, ledger: Ledger) -> None:
    """See that two accountants agree on what the cohort was charged so far, at its cap's delta.

    Raises:
        CollegiumError: they do not (`accountant.disagreement`); nothing may be trained on its figure.
    """
    cap = budget_filter(policy).cap(ledger.entries, cohort)
    accounting.spend(charged(ledger.entries, cohort), cap.delta, with_prv=True)


def cost(signed: Study, cohort: str, policy: Policy, ledger: Ledger) -> Cost:
    """What the cohort was charged and would be charged after the whole study."""
    before = charged(ledger.entries, cohort)
    after = (*before, round_event(signed, signed.training.rounds))
    cap = budget_filter(policy).cap(ledger.entries, cohort)
    return Cost(accounting.epsilon_pld(before, cap.delta), accounting.epsilon_pld(after, cap.delta), cap)


def check_budget(signed: Study, cohort: str, policy: Policy, ledger: Ledger) -> None:
    """See that the whole study fits in the budget of its cohort, and of all cohorts that share patients with it.

    Raises:
        BudgetExceeded: it does not; says how many of its rounds would.
        PolicyRefused: the cohort was closed, or the study is unprotected, which the hospital does not allow.
    """
    guard, rounds = budget_filter(policy), signed.training.rounds
    whole = round_event(signed, rounds)
    try:
        guard.authorise(ledger.entries, cohort, whole, whole.steps)
    except BudgetExceeded as error:
        raise BudgetExceeded(
            f"the study as a whole is refused, {fitting_rounds(guard, signed, cohort, ledger.entries, rounds)} of its "
            f"{rounds} rounds would fit: {error}",
            code=error.code,
        ) from error


def fitting_rounds(guard: BudgetFilter, signed: Study, cohort: str, entries: tuple[Entry, ...], wanted: int) -> int:
    """How many of `wanted` (at least 1) further rounds of a study the cohort's budget has room for.

    Raises:
        CorruptState: as `BudgetFilter.accounts`.
    """
    event = round_event(signed, wanted)
    if isinstance(event, UnprotectedEvent):
        return 0
    return guard.fitting_steps(entries, cohort, event, event.steps) // signed.training.local_steps


def budget_filter(policy: Policy) -> BudgetFilter:
    """The filter that guards every cohort of this hospital."""
    return BudgetFilter(
        Cap(policy.max_epsilon, policy.delta),
        allow_unprotected=policy.allow_without_dp,
        epsilon_of=accounting.epsilon_pld,
        second_person=policy.second_person or "",
    )


def describe(signed: Study, cohort: str, patients: int, price: Cost) -> str:
    """The study in plain words, for the person who decides."""
    privacy, training = signed.privacy, signed.training
    if privacy.mechanism == "none":
        guarantee = "NONE: single patients are not protected, and the cohort's budget is used up for good."
        cost_line = "unlimited (training without differential privacy)"
    else:
        guarantee = (
            f"patient-level differential privacy: whether or not any one patient takes part, the\n"
            f"              probability of anything others see changes by a factor of at most e^{privacy.epsilon:g}\n"
            f"              (delta {privacy.delta:g}, adding or removing one patient)."
        )
        cost_line = f"epsilon {price.before:.2f} now, {price.after:.2f} after the study; cap {price.cap.epsilon:g}"
    silos = "\n".join(f"    {silo.name:<20} {silo.fingerprint}" for silo in signed.roster.silos)
    return f"""\
Study         {signed.name} of consortium {signed.consortium}
              {signed.description or "(no description)"}
Will be read  cohort '{cohort}': {patients} patients, de-identified images and the label '{signed.task.label}'
Will train    {signed.model.name}, {training.rounds} rounds of {training.local_steps} step(s); each patient is drawn
              with probability {privacy.sampling_rate:g} a step
Starts from   {_start(signed)}
Will leave    a masked and encrypted model update a round, and how many of its values were out of range; only the sum
              over the silos can be opened, by the silos.
              Counts of correct and wrong predictions on held-out patients ({signed.evaluation.split}), in the same
              encrypted sum: exact, NOT covered by differential privacy. Times and sizes of messages.
Guarantee     {guarantee}
Budget        {cost_line}
Roster        code {signed.roster.code} (read it to the other hospitals; all must have the same)
{silos}
    aggregator {signed.roster.aggregator.name:<9} {signed.roster.aggregator.fingerprint}
Revocation    {_revocation(signed.roster)}
Threshold     {_threshold(signed.roster)}
"""


def _start(signed: Study) -> str:
    """Where the first weights are from, and what stays as it is."""
    model = signed.model
    start = "weights made of the study's public seed"
    if model.pretrained is not None:
        start = (
            f"public weights, compared: SHA-256 {model.pretrained.sha256[:32]}\n"
            f"              {model.pretrained.sha256[32:]}. Whose data they were made of is not covered by\n"
            "              this budget."
        )
    if model.freeze:
        start += f"\n              Not trained, never sent: all that begins with {', '.join(model.freeze)}."
    return start


def _revocation(roster: Roster) -> str:
    """Whether a hospital whose keys are lost can be shut out while the study runs."""
    if roster.statements == "none":
        return "NOT checked: a hospital whose keys were stolen stays in until another study is signed."
    return "checked before each round, against the consortium's newest signed roster statement."


def _threshold(roster: Roster) -> str:
    """What a round needs and who would have to work together to see one hospital's update."""
    silos, together = len(roster.silos), roster.collusion_tolerated
    needs = f"a round needs {roster.threshold} of {silos} hospitals; {roster.dropouts_tolerated} may be missing."
    if silos == 2:
        return f"""{needs}
              With two hospitals the masks hide nothing between them: each can subtract its own update from the sum."""
    return f"""{needs}
              This hospital's update stays hidden within the sum, even from the aggregator working together with
              {together} of the other hospitals. The sum itself is known to every hospital."""


def record(
    source: Path,
    signed: Study,
    cohort: str,
    by: str,
    confirmed: dict[str, str],
    policy: Policy,
    folder: StudyDirectory,
    ledger: Ledger,
    weights: Path | None = None,
) -> None:
    """Write the approval: ledger first, then the files that `run` looks for; a copy of `weights` among them.

    Raises:
        ConfigError, DataError: the weights that the study starts from are not given, or are others.
        PolicyRefused: not every other hospital of the roster was confirmed.
        StudyError: another study of this name was approved before.
    """
    own = ledger.origin.rsplit("/", 1)[-1]
    signed.roster.index(own)
    missing = {silo.name for silo in signed.roster.silos} - {own} - set(confirmed)
    if missing:
        raise PolicyRefused(
            f"confirm the roster code with {', '.join(sorted(missing))} first, then add --confirm NAME=HOW for each",
            code="policy.unconfirmed",
        )
    unknown = set(confirmed) - {silo.name for silo in signed.roster.silos}
    if unknown:
        raise PolicyRefused(f"{', '.join(sorted(unknown))} is not on the roster", code="policy.unconfirmed")
    if folder.approval_file.exists() and read(folder).study_digest != signed.digest().hex():
        raise StudyError(
            f"another study named '{signed.name}' was approved here before; the consortium must give a new name",
            code="study.name_taken",
        )
    start = tasks.starting_content(signed, weights)
    cap = budget_filter(policy).cap(ledger.entries, cohort)
    ledger.append(
        "approved",
        {
            "study": signed.name,
            "study_digest": signed.digest().hex(),
            "cohort": cohort,
            "roster_code": signed.roster.code,
            "confirmed": [{"silo": silo, "how": how} for silo, how in sorted(confirmed.items())],
            "by": by,
            "cap_epsilon": cap.epsilon,
            "cap_delta": cap.delta,
            "planned_event": to_json(round_event(signed, signed.training.rounds)),
        },
    )
    folder.make()
    if start is not None:
        durable.write(folder.weights_file, start)
    durable.write(folder.study_file, source.read_bytes())
    approval = Approval(study_digest=signed.digest().hex(), cohort=cohort, by=by)
    durable.write(folder.approval_file, json.dumps(approval.model_dump()).encode())


def read(folder: StudyDirectory) -> Approval:
    """The approval of a study.

    Raises:
        PolicyRefused: there is none.
        CorruptState: it is damaged.
    """
    if not folder.approval_file.exists():
        raise PolicyRefused(
            "this study is not approved here; run 'collegium-silo approve' first", code="policy.not_approved"
        )
    try:
        return Approval.model_validate_json(folder.approval_file.read_bytes())
    except ValueError as error:
        raise CorruptState("the approval is damaged; approve the study again") from error


def load_approved(folder: StudyDirectory, consortium_key: bytes) -> tuple[Study, Approval]:
    """The study that was approved, verified again.

    Raises:
        PolicyRefused: not approved. StudyError: the study file is not the one that was approved.
    """
    approval = read(folder)
    signed = study.load_signed(folder.study_file, consortium_key)
    if signed.digest().hex() != approval.study_digest:
        raise StudyError("the study file is not the one that was approved; approve it again", code="study.altered")
    return signed, approval

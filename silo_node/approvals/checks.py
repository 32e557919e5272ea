"""What must hold of a study before this hospital approves it, and again before each run.

The hospital's policy, the study's own claims (its epsilon by two accountants), the weights that it starts from, and
the audits of the code that would train. Whether the budget has room is `costs`.
"""

from pathlib import Path

from privacy.dp import accounting
from privacy.errors import PolicyRefused, PreflightFailed, StudyError
from privacy.he.params import CiphertextParams
from privacy.ledger.facts import audits
from privacy.ledger.store import Ledger
from privacy.study import Study
from silo_node.approvals.costs import round_event
from silo_node.configuration import Policy
from silo_node.learning import tasks


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

"""What `budget show` says of a cohort: cap, spent, left, and each study's part. Computed from the ledger's events."""

import math
from dataclasses import asdict, dataclass

from privacy.channel.identity import Identity
from privacy.configuration import load
from privacy.digest import Json
from privacy.dp import accounting
from privacy.dp.events import from_json, merge
from privacy.ledger.budgets.overlap import Cohorts
from privacy.ledger.entry import Entry
from privacy.study import SignedStudy, Study
from silo_node.approvals import approval, costs
from silo_node.approvals.approval import Approval
from silo_node.configuration import Policy
from silo_node.state import StateDirectory


@dataclass(frozen=True)
class StudyPart:
    """One study on a cohort.

    Attributes:
        name: of the study, as it was approved; the start of its digest where it was not.
        charged_rounds: rounds that were charged.
        epsilon: of these alone, at the cap's delta; infinite without differential privacy.
        open_rounds: rounds that it still plans; None where it is not approved here (any more).
        fitting_rounds: how many of those the budget has room for now.
    """

    name: str
    charged_rounds: int
    epsilon: float
    open_rounds: int | None
    fitting_rounds: int | None


@dataclass(frozen=True)
class CohortView:
    """The budget of one cohort; `overlaps` are the other cohorts whose charges count for it too."""

    cohort: str
    overlaps: tuple[str, ...]
    cap: float
    delta: float
    spent: float
    left: float
    ignored_settings: tuple[int, ...]
    studies: tuple[StudyPart, ...]


def approved(directory: StateDirectory, identity: Identity) -> tuple[tuple[Study, Approval], ...]:
    """The approved studies of the silo's present consortium; those of an earlier one cannot go on.

    Raises:
        StudyError, CorruptState: as `approval.load_approved`.
    """
    folders = [directory.study(name) for name in directory.approved_studies()]
    return tuple(
        approval.load_approved(folder, identity.study_key)
        for folder in folders
        if load(folder.study_file, SignedStudy).study.consortium == identity.member.consortium
    )


def view(
    cohort: str, entries: tuple[Entry, ...], policy: Policy, studies: tuple[tuple[Study, Approval], ...]
) -> CohortView:
    """The budget of a cohort.

    Raises:
        CorruptState: the ledger holds an event of unknown form, or a cap that is not what was consented to.
    """
    guard = costs.budget_filter(policy)
    account = next(guard.accounts(entries, cohort))
    names = Cohorts(entries).overlapping(cohort)
    charges = [e for e in entries if e.kind == "reserved" and e.body["cohort"] in names]
    known = {given.study_digest: (signed, given) for signed, given in studies}
    here = [digest for digest, (_, given) in known.items() if given.cohort == cohort]
    parts = []
    for digest in dict.fromkeys([*(str(e.body["study_digest"]) for e in charges), *here]):
        own = [e for e in charges if e.body["study_digest"] == digest]
        left = fits = None
        if digest in here:
            signed, _ = known[digest]
            left = max(0, signed.training.rounds - len({str(e.body["round"]) for e in own}))
            fits = costs.fitting_rounds(guard, signed, cohort, entries, left) if left else 0
        parts.append(
            StudyPart(
                known[digest][0].name if digest in known else digest[:12],
                len(own),
                accounting.epsilon_pld(merge(from_json(e.body["event"]) for e in own), account.cap.delta),
                left,
                fits,
            )
        )
    spent = accounting.epsilon_pld(account.events, account.cap.delta)
    return CohortView(
        cohort,
        tuple(sorted(names - {cohort})),
        account.cap.epsilon,
        account.cap.delta,
        spent,
        max(0.0, account.cap.epsilon - spent),
        guard.own_cap(entries, cohort).ignored,
        tuple(parts),
    )


def to_json(shown: CohortView) -> dict[str, Json]:
    """Plain data; an infinite epsilon is null."""
    plain: dict[str, Json] = asdict(shown)
    plain["spent"] = _finite(shown.spent)
    plain["overlaps"] = list(shown.overlaps)
    plain["ignored_settings"] = list(shown.ignored_settings)
    plain["studies"] = [{**asdict(part), "epsilon": _finite(part.epsilon)} for part in shown.studies]
    return plain


def text(shown: CohortView) -> str:
    """The same for a person."""
    lines = [
        f"cohort '{shown.cohort}'",
        f"  spent  epsilon {_said(shown.spent)} of {shown.cap:g} at delta {shown.delta:g}; {shown.left:.2f} left",
    ]
    if shown.overlaps:
        lines.append(f"  shares patients with {', '.join(shown.overlaps)}: what is charged to one counts for the other")
    for number in shown.ignored_settings:
        lines.append(f"  entry {number} sets a higher cap without the second person's consent and does not count")
    for part in shown.studies:
        line = f"  {part.name}: {part.charged_rounds} rounds charged, epsilon {_said(part.epsilon)} by themselves"
        if part.open_rounds:
            line += f"; {part.open_rounds} rounds to go, of which {part.fitting_rounds} fit"
        lines.append(line)
    return "\n".join(lines)


def _finite(epsilon: float) -> float | None:
    return epsilon if math.isfinite(epsilon) else None


def _said(epsilon: float) -> str:
    return f"{epsilon:.2f}" if math.isfinite(epsilon) else "unlimited"

"""The approval of a study: the answer of a person, in the ledger and on disk, and what `run` finds of it.

Nothing is trained without an approval; it is bound to the study's digest and a cohort, names who gave
it and how each hospital of the roster was confirmed, and is an entry of the ledger before it counts.
Whether the study may be approved at all is not asked here: see `checks` and `costs`.
"""

import hashlib
import json
from pathlib import Path

from privacy import durable, study
from privacy.configuration import Strict
from privacy.digest import canonical_json
from privacy.dp.events import to_json
from privacy.errors import CorruptState, PolicyRefused, StudyError
from privacy.ledger.store import Ledger
from privacy.study import Study
from silo_node.approvals.costs import budget_filter, round_event
from silo_node.configuration import Policy
from silo_node.learning import tasks
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

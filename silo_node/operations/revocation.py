"""`collegium-silo revoke-approval`: what a hospital approved it may take back; nothing is trained for it after that.

The ledger's entry comes first and is what counts: a run looks for it even where the file of the approval is back, for
instance from a backup. What was spent stays spent, and what left cannot be called back.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from privacy import durable
from privacy.attribution import By, Reason, checked
from privacy.errors import PolicyRefused
from privacy.ledger.entry import Entry
from silo_node.state import StateDirectory


def check(entries: Sequence[Entry], study_digest: bytes) -> None:
    """Check that the newest word on a study is not that its approval was taken back.

    Raises:
        PolicyRefused: it is.
    """
    kinds = ("approved", "approval_revoked")
    words = [e.kind for e in entries if e.kind in kinds and e.body["study_digest"] == study_digest.hex()]
    if words and words[-1] == "approval_revoked":
        raise PolicyRefused(
            "the approval of this study was revoked here; it may be approved again with 'collegium-silo approve'",
            code="policy.revoked",
        )


def revoke_approval(
    study: Annotated[str, typer.Argument(help="Name of the study.")],
    state: Annotated[Path, typer.Option("--state", help="State directory of this silo.")],
    reason: Reason,
    by: By = None,
) -> None:
    """Take back the approval of a study: 'run' refuses it from now on. Stop a running silo first.

    Example: collegium-silo revoke-approval chest --reason "vote of the ethics board" --state /var/lib/collegium
    """
    from silo_node.approvals import approval

    who, why = checked(by, reason)
    directory = StateDirectory(state)
    folder = directory.study(study)
    with durable.lock(state), directory.open_ledger(directory.identity()) as ledger:
        given = approval.read(folder)
        body = {"study": study, "study_digest": given.study_digest, "by": who, "reason": why}
        ledger.append("approval_revoked", body)
        folder.approval_file.unlink()
        durable.sync_folder(folder.root)
    print(f"revoked: study '{study}' may not use cohort '{given.cohort}' any more; what was spent stays spent")

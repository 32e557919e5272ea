"""A hospital's ledger and folder for a study, a policy that allows it, and studies that differ in what they cost."""

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.ledger.store import Ledger
from privacy.study import Study, dump, sign
from silo_node.approvals import approval
from silo_node.configuration import Policy
from silo_node.state import StudyDirectory
from tests.privacy.studies import NAMES, draft, study

KEY = Ed25519PrivateKey.generate()
OPEN = Policy(
    max_epsilon=8.0,
    delta=1e-4,
    allowed_tasks=("binary_classification",),
    allowed_models=("resnet",),
    cohorts=("chest",),
)
NO_DP: dict[str, Any] = {"mechanism": "none", "clip": 1.0, "sampling_rate": 0.25, "lot_size": 100}
ALL = {NAMES[1]: "by phone", NAMES[2]: "in person"}


def with_noise(noise: float | None, epsilon: float = 8.0) -> Study:
    return study(privacy=draft()["privacy"] | {"noise_multiplier": noise, "epsilon": epsilon})


class Site:
    """One hospital's study folder and ledger."""

    def __init__(self, root: Path, name: str = NAMES[0]) -> None:
        self.root = root
        self.folder = StudyDirectory(root / "studies" / "trial")
        self.ledger = Ledger.create(root / "ledger", f"spiffe://chest-net/silo/{name}", Ed25519PrivateKey.generate())

    def file(self, signed: Study) -> Path:
        path = self.root / "given.yaml"
        path.write_text(dump(sign(signed, KEY)))
        return path

    def approve(self, signed: Study, confirmed: dict[str, str], cohort: str = "chest") -> None:
        approval.record(self.file(signed), signed, cohort, "Dr Who", confirmed, OPEN, self.folder, self.ledger)

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.ledger.entries]

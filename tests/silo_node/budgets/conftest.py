"""A hospital for each test, and accountants that take no time."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from privacy.dp import accounting
from privacy.dp.events import DpEvent, DpSgdEvent
from tests.consortium import Consortium
from tests.silo_node.budgets.hospital import Hospital


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    consortium = Consortium(tmp_path)
    consortium.silo("north")
    made = Hospital(consortium, consortium.state("north"))
    made.policy()
    return made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accountants that take no time: rate over noise, a step. What they answer is tested elsewhere."""

    def epsilon(events: Sequence[DpEvent], delta: float) -> float:
        return sum(e.steps * e.sampling_rate / e.noise_multiplier for e in events if isinstance(e, DpSgdEvent))

    for name in ("epsilon_pld", "epsilon_prv"):
        monkeypatch.setattr(accounting, name, epsilon)

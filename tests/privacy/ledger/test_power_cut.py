"""What a ledger acknowledged is in it after a power cut at any instant, and it opens without a person."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.ledger.fsck import examine
from privacy.ledger.store import Ledger, read
from tests import power
from tests.privacy.ledger.stored import ORIGIN, opened

WITH_DETAILS = 3
"""How many entries there are when the details of one are there."""


def actions(ledger: Ledger) -> list[Callable[[], object]]:
    return [
        lambda: ledger.append("round_opened", opened(1)),
        lambda: ledger.append("round_opened", opened(2), {"by": "ada"}),
        lambda: ledger.erase_details(2, "asked for", "ada"),
        lambda: ledger.append("round_opened", opened(3)),
    ]


@pytest.mark.parametrize("reached", power.EXTREMES.values(), ids=power.EXTREMES)
def test_what_was_acknowledged_is_there_after_a_power_cut_at_any_instant(
    key: Ed25519PrivateKey, reached: power.Reached
) -> None:
    def play(at: int) -> int:
        with tempfile.TemporaryDirectory(dir=power.MEMORY) as folder:
            root, survived = Path(folder) / "root", Path(folder) / "survived"
            with Ledger.create(root, ORIGIN, key) as ledger:
                ledger.append("round_opened", opened(0))
                acknowledged = [entry.line() for entry in ledger.entries]
                with power.cut(root, survived, at, reached) as disk:
                    for action in actions(ledger):
                        action()
                        acknowledged = [entry.line() for entry in ledger.entries]
            assert read(survived).acknowledged >= len(acknowledged)
            details = list(survived.glob("details/*"))
            with Ledger.open(survived, key) as again:
                lines = [entry.line() for entry in again.entries]
            assert lines[: len(acknowledged)] == acknowledged
            assert len(lines) != WITH_DETAILS or len(details) == 1
            assert len(acknowledged) <= WITH_DETAILS or not details
            assert not examine(survived).findings
            return disk.syncs

    assert power.at_every_instant(play) >= 3 * 4


@pytest.mark.parametrize("reached", power.EXTREMES.values(), ids=power.EXTREMES)
def test_a_ledger_is_made_whole_or_not_at_all(key: Ed25519PrivateKey, reached: power.Reached) -> None:
    def play(at: int) -> int:
        with tempfile.TemporaryDirectory(dir=power.MEMORY) as folder:
            root, survived, made = Path(folder) / "root", Path(folder) / "survived", False
            root.mkdir()
            with power.cut(root, survived, at, reached) as disk:
                Ledger.create(root / "ledger", ORIGIN, key).close()
                made = True
            if not (survived / "ledger" / "origin.json").exists():
                assert not made
                Ledger.create(survived / "ledger", ORIGIN, key).close()
            Ledger.open(survived / "ledger", key).close()
            return disk.syncs

    assert power.at_every_instant(play) > 4

"""Heads that others keep, against what the ledger is now: older, another one, or given up by a person."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.dp.events import DpSgdEvent, to_json
from privacy.ledger.heads.witness import Charge, Seen, charges, lost
from privacy.ledger.store import Ledger

ROUND = DpSgdEvent(0.25, 2.0, 3)
STUDY, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger.create(tmp_path / "ledger", "spiffe://net/silo/north", Ed25519PrivateKey.generate())
    for number in range(1, 6):
        made.append("round_opened", {"study_digest": STUDY, "round": number})
    return made


def missing(ledger: Ledger, *seen: Seen) -> tuple[Seen, ...]:
    return lost(ledger.entries, ledger.head()[1], seen)


def test_a_ledger_extends_every_head_that_it_had(ledger: Ledger) -> None:
    heads = [Seen("hub", *ledger.head())]
    for _ in range(3):
        ledger.append("incident", {"code": "a", "detail": "b"})
        heads.append(Seen("south", *ledger.head()))
    assert missing(ledger, *heads) == ()


def test_a_longer_head_and_a_fork_of_any_size_are_found(ledger: Ledger) -> None:
    size, root = ledger.head()
    longer, forked = Seen("hub", size + 1, b"a" * 32), Seen("south", size, b"b" * 32)
    older = Seen("east", size - 1, root)
    assert missing(ledger, longer, forked, older, Seen("west", size, root)) == (longer, forked, older)


def test_only_the_very_heads_that_were_given_up_are_not_asked_for_again(ledger: Ledger) -> None:
    given, kept = Seen("hub", 9, b"a" * 32), Seen("hub", 9, b"b" * 32)
    told = [{"party": "hub", "size": 9, "root": given.root.hex()}]
    ledger.append("recovered", {"reason": "r", "by": "Ada", "witnesses": told, "size": 9})
    assert missing(ledger, given, kept) == (kept,)


def test_lost_rounds_and_the_rest_of_other_plans_are_charged(ledger: Ledger) -> None:
    ledger.append("reserved", {"study_digest": STUDY, "round": 2, "cohort": "chest", "event": to_json(ROUND)})
    for digest, steps in ((OTHER, 30), (STUDY, 30), ("ef" * 32, 3)):
        plan = {
            "study": "s",
            "study_digest": digest,
            "cohort": "skin",
            "roster_code": "c",
            "confirmed": [],
            "by": "Ada",
        }
        planned = {"planned_event": to_json(DpSgdEvent(0.5, 1.0, steps)), "cap_epsilon": 8.0, "cap_delta": 1e-4}
        ledger.append("approved", {**plan, **planned})
    for digest in (OTHER, "ef" * 32):
        ledger.append("reserved", {"study_digest": digest, "round": 1, "cohort": "skin", "event": to_json(ROUND)})
    assert charges(ledger.entries, STUDY, "chest", ROUND, 3) == (
        Charge(STUDY, 1, "chest", ROUND),
        Charge(STUDY, 3, "chest", ROUND),
        Charge(OTHER, 0, "skin", DpSgdEvent(0.5, 1.0, 27)),
    )

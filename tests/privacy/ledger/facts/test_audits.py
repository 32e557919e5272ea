from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.digest import Json
from privacy.ledger.entry import Entry, make
from privacy.ledger.facts.audits import refuting

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def entry(kind: str, body: dict[str, Json]) -> Entry:
    return make(0, datetime(2026, 1, 1, tzinfo=UTC), kind, body, bytes(32), "spiffe://x/silo/a", KEY)


def code(digest: str) -> Entry:
    return entry("software", {"version": "1", "code": digest, "libraries": {}})


def audit(outcome: str, bound: float = 1.0, what: str = "one run") -> Entry:
    return entry(
        "audited",
        {
            "what": what,
            "claimed_epsilon": 2.0,
            "lower_bound": bound,
            "confidence": 0.95,
            "guesses": 8,
            "outcome": outcome,
            "digest": "ab" * 32,
        },
    )


A, B = code("aa"), code("bb")
SOUND, BROKEN = audit("consistent"), audit("broken", 3.0)
OTHER = audit("consistent", what="membership")


@pytest.mark.parametrize(
    ("entries", "refuted"),
    [
        ([], False),
        ([A], False),
        ([A, SOUND], False),
        ([A, BROKEN], True),
        ([A, SOUND, BROKEN], True),
        ([A, BROKEN, SOUND], False),
        # Another attack that finds nothing does not answer the one that did.
        ([A, BROKEN, OTHER], True),
        ([A, BROKEN, B], False),
        # Going back to the refuted code is no way out.
        ([A, BROKEN, B, SOUND, A], True),
        # Which code was attacked is not known: it counts for all until the attack finds nothing.
        ([BROKEN, A], True),
        ([BROKEN, A, SOUND], False),
        ([BROKEN, A, SOUND, B], False),
        # An entry whose outcome contradicts its figures, and an outcome that is not known.
        ([A, audit("consistent", 2.1)], True),
        ([A, audit("unclear")], True),
    ],
)
def test_an_attack_refutes_the_code_it_was_made_on(entries: list[Entry], refuted: bool) -> None:
    assert refuting(entries) == (("one run",) if refuted else ())

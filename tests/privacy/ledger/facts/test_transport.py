"""A ledger says how a line is protected when it is not by mutual TLS, and when that changes."""

from privacy.ledger.facts import transport
from privacy.ledger.facts.transport import MUTUAL, ONE_WAY
from privacy.ledger.narrative import tell
from privacy.ledger.store import Ledger

STUDY, OTHER, TRUSTED = "ab" * 32, "cd" * 32, "ef" * 32


def test_it_is_entered_when_it_is_another_than_before(ledger: Ledger) -> None:
    def told() -> list[tuple[object, ...]]:
        return [tuple(entry.body.values()) for entry in ledger.entries if entry.kind == "transport"]

    transport.enter(ledger, STUDY, "north", MUTUAL)
    assert not told(), "mutual TLS is what is expected"
    for _ in range(2):
        transport.enter(ledger, STUDY, "north", ONE_WAY, TRUSTED)
        transport.enter(ledger, STUDY, "south", ONE_WAY)
        transport.enter(ledger, OTHER, "north", MUTUAL)
    assert len(told()) == 2
    transport.enter(ledger, STUDY, "north", ONE_WAY, "01" * 32)
    transport.enter(ledger, STUDY, "north", MUTUAL)
    transport.enter(ledger, STUDY, "north", MUTUAL)
    assert [set(values) for values in told()] == [
        {STUDY, "north", ONE_WAY, TRUSTED},
        {STUDY, "south", ONE_WAY, ""},
        {STUDY, "north", ONE_WAY, "01" * 32},
        {STUDY, "north", MUTUAL, ""},
    ]


def test_it_is_told_in_words(ledger: Ledger) -> None:
    transport.enter(ledger, STUDY, "north", ONE_WAY, TRUSTED)
    told = tell(ledger.entries[-1], "spiffe://chest-net/silo/north")
    assert (told.what, told.outcome) == ("line of north, study abababababab", "one-way TLS")

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.ledger.facts.certificates import enter
from privacy.ledger.store import Ledger


def test_enrolment_once_and_each_certificate_after_it(ledger: Ledger, folder: Path, key: Ed25519PrivateKey) -> None:
    for fingerprint in ("aa", "aa", "bb", "bb", "cc"):
        enter(ledger, "hub", "demo", fingerprint)
    ledger.close()
    with Ledger.open(folder, key) as again:
        enter(again, "hub", "demo", "cc")
        first, second, third = again.entries
    assert (first.kind, first.body["silo"], first.body["certificate_fingerprint"]) == ("enrolled", "hub", "aa")
    assert [(one.kind, one.body["old"], one.body["new"]) for one in (second, third)] == [
        ("key_rotated", "aa", "bb"),
        ("key_rotated", "bb", "cc"),
    ]


def test_other_keys_are_other_keys(ledger: Ledger) -> None:
    enter(ledger, "hub", "demo", "aa")
    ledger.append("key_rotated", {"what": "second person", "old": "x", "new": "y", "reason": "left"})
    enter(ledger, "hub", "demo", "aa")
    assert len(ledger.entries) == 2


def test_another_consortium_is_another_enrolment(ledger: Ledger) -> None:
    for consortium, fingerprint in (("demo", "aa"), ("lung-net", "bb"), ("lung-net", "cc"), ("demo", "aa")):
        enter(ledger, "hub", consortium, fingerprint)
    assert [entry.kind for entry in ledger.entries] == ["enrolled", "enrolled", "key_rotated", "enrolled"]

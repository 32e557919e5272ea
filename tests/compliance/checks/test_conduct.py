"""What a silo did beside its approvals, its reservations or its caps is found."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compliance import bundle
from compliance.checks.check import Outcome
from compliance.verify import Anchors, verify
from privacy.digest import Json
from privacy.dp.events import DpSgdEvent, UnprotectedEvent, to_json
from privacy.ledger.budgets.caps import Cap, Request
from tests.compliance.evidence import Consortium
from tests.compliance.history import failed, make, quick


def test_a_swapped_cohort_is_found(report: Path, anchors: Anchors, tmp_path: Path) -> None:
    entries = report / "evidence" / "beta" / "ledger" / "entries.jsonl"
    entries.write_bytes(entries.read_bytes().replace(b'"cohort":"chest"', b'"cohort":"other"'))
    assert "ledger beta" in failed(verify(report, anchors, quick()))
    # Signed so by the hospital itself: a cohort is charged for which nobody approved the study.
    swapped = Consortium(tmp_path / "evidence")
    swapped.publish()
    swapped.approve("beta")
    swapped.train("beta", 1, cohort="other")
    found = failed(verify(make(swapped, tmp_path / "swapped"), Anchors(), quick()))
    assert "charges cohort 'other' for a study that was not approved" in found["order"]
    assert "no cap is known" in found["caps"]


def test_what_was_spent_without_being_reserved_is_found(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path / "evidence")
    consortium.publish()
    consortium.approve("alpha")
    event = to_json(DpSgdEvent(0.118, 1.45, 2))
    about: dict[str, Json] = {"study_digest": consortium.study.digest().hex(), "round": 1, "cohort": "chest"}
    consortium.write("alpha", "reserved", **about, event=to_json(consortium.event))
    consortium.write("alpha", "spent", **about, event=event)
    found = failed(verify(make(consortium, tmp_path / "report"), Anchors(), quick()))
    assert "spends from cohort 'chest' what was not reserved" in found["order"]


def charge(consortium: Consortium, number: int, steps: int, *, cohort: str = "chest") -> None:
    about: dict[str, Json] = {"study_digest": consortium.study.digest().hex(), "round": number, "cohort": cohort}
    consortium.write("alpha", "reserved", **about, event=to_json(DpSgdEvent(0.118, 1.45, steps)))


def set_cap(consortium: Consortium, epsilon: float, second: Ed25519PrivateKey | None = None) -> None:
    with consortium.ledger("alpha") as ledger:
        size, root = ledger.head()
        request = Request("chest", Cap(epsilon, 1e-4), "more noise", "Dr. Roe")
        ledger.append("budget_set", request.body(second, size, root))


def test_a_cap_that_was_ever_exceeded_is_found(tmp_path: Path) -> None:
    """Also where it was raised afterwards, and where the charges went to a cohort that shares patients."""
    consortium = Consortium(tmp_path / "evidence")
    consortium.publish()
    consortium.approve("alpha", cap=8.0)
    charge(consortium, 1, 60)
    within = make(consortium, tmp_path / "within")
    assert "caps" not in failed(verify(within, Anchors(), quick()))
    charge(consortium, 2, 60)
    set_cap(consortium, 20.0, Ed25519PrivateKey.generate())
    charge(consortium, 3, 60)
    found = failed(verify(make(consortium, tmp_path / "above"), Anchors(), quick()))
    assert "above its cap of 8 at delta 0.0001" in found["caps"]
    assert "cap of 20" not in found["caps"]


def test_what_was_spent_before_a_cap_was_lowered_is_not_held_against_it(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path / "evidence")
    consortium.publish()
    consortium.approve("alpha", cap=8.0)
    charge(consortium, 1, 60)
    set_cap(consortium, 2.0)
    report = make(consortium, tmp_path / "report")
    assert "caps" not in failed(verify(report, Anchors(), quick()))
    charge(consortium, 2, 1)
    assert "above its cap of 2" in failed(verify(make(consortium, tmp_path / "more"), Anchors(), quick()))["caps"]


def test_a_protected_charge_after_an_unprotected_one_exceeds_every_cap(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path / "evidence")
    consortium.publish()
    consortium.approve("alpha", cap=8.0)
    about: dict[str, Json] = {"study_digest": consortium.study.digest().hex(), "round": 1, "cohort": "chest"}
    consortium.write("alpha", "reserved", **about, event=to_json(UnprotectedEvent(1)))
    assert "caps" not in failed(verify(make(consortium, tmp_path / "bare"), Anchors(), quick()))
    charge(consortium, 2, 1)
    assert "epsilon inf" in failed(verify(make(consortium, tmp_path / "then"), Anchors(), quick()))["caps"]


def test_a_second_signature_that_is_none_is_found_and_a_raise_without_one_is_said(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path / "evidence")
    consortium.publish()
    consortium.approve("alpha", cap=8.0)
    set_cap(consortium, 8.0)
    set_cap(consortium, 9.0)
    said = {check.name: check for check in verify(make(consortium, tmp_path / "one"), Anchors(), quick())}
    assert said["consents"].outcome is Outcome.NOT_SHOWN
    assert "on one person's word" in said["consents"].line
    with consortium.ledger("alpha") as ledger:
        request = Request("chest", Cap(10.0, 1e-4), "more", "Dr. Roe")
        ledger.append("budget_set", request.body(Ed25519PrivateKey.generate(), 0, bytes(32)))
    # The report itself is refused over such a ledger; what an older one said of it is found all the same.
    bundle.collect([consortium.root], tmp_path / "two" / "evidence")
    assert "second signature" in failed(verify(tmp_path / "two", Anchors(), quick()))["consents"]

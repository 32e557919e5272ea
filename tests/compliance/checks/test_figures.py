"""A figure that is not what the evidence gives is found and named."""

import json
import shutil
from pathlib import Path

from compliance import bundle, publication
from compliance.budget import Accountant
from compliance.canonical import canonical
from compliance.checks.check import Outcome
from compliance.checks.figures import differences
from compliance.signing import Meaning, Signer
from compliance.studies import Accountants
from compliance.verify import Anchors, verify
from privacy.digest import Json
from tests.compliance.evidence import Consortium, cheap
from tests.compliance.history import AT, failed, quick


def test_a_changed_figure_is_found_and_named(report: Path, anchors: Anchors) -> None:
    record = json.loads((report / "report.json").read_bytes())
    record["silos"][1]["cohorts"][0]["spent"] /= 2
    (report / "report.json").write_bytes(canonical(record))
    found = failed(verify(report, anchors, quick()))
    assert set(found) >= {"figures", "signatures", "page"}
    assert "silos[beta].cohorts[0].spent is" in found["figures"]


def test_a_changed_figure_is_found_even_when_all_is_made_and_signed_again(
    report: Path, whole: tuple[Consortium, Path], anchors: Anchors
) -> None:
    record = json.loads((report / "report.json").read_bytes())
    record["summary"]["spent"] = 0.01
    data = canonical(record)
    (report / "report.json").write_bytes(data)
    shutil.rmtree(report / "signatures")
    signer = Signer(whole[0].keys["consortium"], "Dr. Ada Roe", Meaning.APPROVED)
    bundle.add_signature(report, signer.sign(data, AT))
    publication.publish(report, pdf=False)
    assert set(failed(verify(report, anchors, quick()))) == {"figures", "page"}


def test_differences_are_named() -> None:
    stated: Json = {"a": [{"name": "x", "n": 1.0}], "gone": 1, "flag": True, "same": [1, 2]}
    found: Json = {"a": [{"name": "x", "n": 1.1}, 2], "more": None, "flag": 1, "same": [1.0, 2.0 + 1e-12]}
    assert list(differences(stated, found, ())) == [
        ("a[x].n", "1.0", "1.1"),
        ("a[1]", "nothing", "2"),
        ("flag", "True", "1"),
        ("gone", "1", "nothing"),
        ("more", "nothing", "None"),
    ]
    assert list(differences(stated, found, ("a", "flag", "gone", "more"))) == []


def test_other_accountants_are_said_and_fail_nothing(report: Path, anchors: Anchors) -> None:
    fewer = Accountants(Accountant(cheap), Accountant(cheap), None, {"pld": "cheap 2"})
    checks = {check.name: check for check in verify(report, anchors, fewer)}
    assert checks["figures"].outcome is Outcome.OK
    assert checks["accountants"].outcome is Outcome.NOT_SHOWN
    assert "cheap 2" in checks["accountants"].line

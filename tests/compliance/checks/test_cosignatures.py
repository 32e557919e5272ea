"""Cosigned heads in a report: said for each ledger, and checked offline, with each way of tampering found."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from compliance.checks.check import Outcome
from compliance.verify import Anchors, verify
from privacy.ledger.heads import note
from tests.compliance.evidence import SILOS, Consortium
from tests.compliance.history import cosign, failed, make, quick

BESIDE = Path("evidence", "gamma", "ledger")
NAME = "cosignatures"


@pytest.fixture
def evidence(whole: tuple[Consortium, Path], tmp_path: Path) -> Consortium:
    """The same consortium to go on with."""
    return replace(whole[0], root=shutil.copytree(whole[0].root, tmp_path / "evidence"))


def findings(report: Path) -> str:
    return failed(verify(report, Anchors(), quick()))[NAME]


def test_record_and_page_say_who_cosigned_each_ledger(whole: tuple[Consortium, Path]) -> None:
    _, report = whole
    record = json.loads((report / "report.json").read_bytes())
    for ledger in record["ledgers"]:
        others = sorted({*SILOS, "adder"} - {ledger["party"]})
        assert sorted(one["witness"] for one in ledger["cosigned"]) == others
        assert {one["entries"] for one in ledger["cosigned"]} == {ledger["entries"]}
        assert {one["time"] for one in ledger["cosigned"]} == {"2023-11-14T22:13:20Z"}
        assert ledger["witnesses"] == 3
    assert "cosigned by 3 of 3 others" in (report / "report.html").read_text()
    (check,) = (check for check in verify(report, Anchors(), quick()) if check.name == NAME)
    assert check.outcome is Outcome.OK
    assert check.findings == ("12 hold, each with both signatures",)


def test_what_nobody_cosigned_is_not_shown(evidence: Consortium, tmp_path: Path) -> None:
    consortium = evidence
    for folder in ("seen", "cosigned"):
        shutil.rmtree(consortium.root / "gamma" / "ledger" / folder)
        for other in ("alpha", "beta", "adder"):
            (consortium.root / other / "ledger" / folder / "silo-gamma.note").unlink()
    report = make(consortium, tmp_path / "report")
    assert "cosigned by others: not shown" in (report / "report.html").read_text()
    (check,) = (check for check in verify(report, Anchors(), quick()) if check.name == NAME)
    assert check.outcome is Outcome.NOT_SHOWN
    assert "the ledger of gamma is not cosigned by adder, alpha, beta" in check.findings


def swapped(report: Path) -> None:
    shutil.copyfile(report / BESIDE / "cosigned/silo-beta.cosigner", report / BESIDE / "cosigned/silo-alpha.cosigner")


def without_ml_dsa(report: Path) -> None:
    path = report / BESIDE / "cosigned/silo-alpha.note"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def resized(report: Path) -> None:
    path = report / BESIDE / "seen/silo-alpha.note"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], f"{int(lines[1]) - 1}\n", *lines[2:]]))


def renamed(report: Path) -> None:
    path = report / BESIDE / "cosigned/silo-alpha.note"
    shutil.copyfile(path, report / BESIDE / "cosigned/silo-beta.note")


def without_statement(report: Path) -> None:
    (report / BESIDE / "seen/silo-gamma.cosigner").unlink()


@pytest.mark.parametrize("tamper", [swapped, without_ml_dsa, resized, renamed, without_statement])
def test_what_was_tampered_with_is_found(report: Path, tamper: Callable[[Path], None]) -> None:
    tamper(report)
    assert findings(report)


def test_a_ledger_put_back_with_all_that_lay_beside_it_is_found(evidence: Consortium, tmp_path: Path) -> None:
    """Nobody entered its newer head: what the others cosigned is all that tells."""
    consortium = evidence
    shutil.copytree(consortium.root / "gamma", tmp_path / "older")
    with consortium.ledger("gamma") as ledger:
        size = len(ledger.entries)
    consortium.write("gamma", "cohort_closed", cohort="chest", by="Ada Roe", reason="moved")
    for party in consortium.root.glob("*/ledger/seen"):
        shutil.rmtree(party)
    cosign(consortium)
    shutil.rmtree(consortium.root / "gamma")
    shutil.copytree(tmp_path / "older", consortium.root / "gamma")
    found = failed(verify(make(consortium, tmp_path / "report"), Anchors(), quick()))
    assert set(found) == {NAME}
    assert f"gamma has {size} entries here, and adder cosigned {size + 1}: it was put back" in found[NAME]


def test_a_forked_ledger_is_found_by_its_own_signatures(whole: tuple[Consortium, Path], report: Path) -> None:
    text = note.checkpoint("spiffe://demo/silo/gamma", 5, b"\1" * 32, whole[0].keys["gamma"])
    (report / "evidence" / "alpha" / "ledger" / "seen" / "silo-gamma.fork").write_text(text)
    assert "gamma signed two different ledgers of 5 entries" in findings(report)

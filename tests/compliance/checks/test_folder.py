"""What does not belong in a report, what is missing, and what another signed or printed, is found."""

import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compliance import bundle, publication
from compliance.checks.check import Outcome
from compliance.signing import Meaning, Signer
from compliance.verify import Anchors, verify
from privacy.ledger.files import ENTRIES, HEAD, ORIGIN, VERSION
from tests.compliance.evidence import Consortium
from tests.compliance.history import AT, failed, quick

LEDGER = (VERSION, ORIGIN, ENTRIES, HEAD)


def test_what_does_not_belong_is_found(report: Path, anchors: Anchors) -> None:
    (report / "evidence" / "beta" / "ledger" / "notes.txt").write_text("x")
    (report / "link").symlink_to("report.json")
    assert "link does not belong" in failed(verify(report, anchors, quick()))["files"]


@pytest.mark.parametrize("gone", ["report.json", "report.html", "evidence", "evidence/beta/ledger/head.json"])
def test_what_is_missing_is_found(report: Path, anchors: Anchors, gone: str) -> None:
    path = report / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert failed(verify(report, anchors, quick()))


PIPES = ("report.json", "report.html", "previous.json", "signatures/001.json", "evidence/studies/trial.yaml")


@pytest.mark.parametrize("name", [*PIPES, *(f"evidence/beta/ledger/{name}" for name in (*LEDGER, "cosigned", "seen"))])
def test_a_pipe_is_found_and_not_waited_for(report: Path, anchors: Anchors, name: str) -> None:
    path = report / name
    if path.is_dir():
        path = next(path.glob("*.note"))
    elif not path.exists():
        path = next(path.parent.glob(f"*{path.suffix}"), path)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    assert failed(verify(report, anchors, quick()))["files"]


def test_a_foreign_signature_is_found(report: Path, whole: tuple[Consortium, Path], anchors: Anchors) -> None:
    consortium = whole[0]
    stranger = Ed25519PrivateKey.generate()
    # Under the report: right for its key, and not the person's.
    shutil.rmtree(report / "signatures")
    data = (report / "report.json").read_bytes()
    bundle.add_signature(report, Signer(stranger, "Dr. Ada Roe", Meaning.APPROVED).sign(data, AT))
    assert set(failed(verify(report, anchors, quick()))) == {"signatures", "page"}
    # Under the study.
    foreign = Consortium(report / "evidence", keys={**consortium.keys, "consortium": stranger})
    foreign.publish()
    assert "another key than the consortium's" in failed(verify(report, anchors, quick()))["consortium's key"]


@pytest.mark.slow
def test_a_changed_print_is_found(report: Path, anchors: Anchors) -> None:
    pytest.importorskip("weasyprint", reason="the extra 'report' is not installed here", exc_type=ImportError)
    publication.publish(report, pdf=True)
    assert {check.name: check.outcome for check in verify(report, anchors, quick())}["print"] is Outcome.OK
    data = (report / "report.pdf").read_bytes()
    (report / "report.pdf").write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    assert set(failed(verify(report, anchors, quick()))) == {"print"}

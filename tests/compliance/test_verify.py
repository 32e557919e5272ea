"""A report is believed as a whole or not at all; with the real ledger, signatures and pages."""

import json
import secrets
from pathlib import Path

import pytest
from typer.testing import CliRunner

from compliance.app import app
from compliance.checks.check import Outcome
from compliance.studies import Accountants
from compliance.verify import Anchors, verify
from privacy.errors import ConfigError, CorruptState
from tests.compliance.history import failed, quick


def test_an_honest_report_is_believed(report: Path, anchors: Anchors) -> None:
    checks = verify(report, anchors, quick())
    assert failed(checks) == {}
    assert [check.name for check in checks if check.outcome is Outcome.NOT_SHOWN] == ["print"]


def test_what_is_not_anchored_is_said(report: Path) -> None:
    said = {check.name: check for check in verify(report, Anchors(), quick())}
    for name in ("signatures", "consortium's key"):
        assert said[name].outcome is Outcome.NOT_SHOWN
        assert any(":" in finding for finding in said[name].findings), "the fingerprint to compare is in it"


def test_a_single_changed_byte_anywhere_is_found(report: Path, anchors: Anchors) -> None:
    files = [path for path in report.rglob("*") if path.is_file()]
    # Of the files about cosignatures, which are many and alike, one of each kind.
    alike = {(path.parent.name, path.suffix): path for path in files if path.parent.name in ("cosigned", "seen")}
    files = [path for path in files if path.parent.name not in ("cosigned", "seen")] + list(alike.values())
    assert {path.name for path in files} > {"report.json", "report.html", "001.json", "entries.jsonl", "version"}
    for path in files:
        data = path.read_bytes()
        at, other = secrets.randbelow(len(data)), 1 + secrets.randbelow(255)
        path.write_bytes(data[:at] + bytes([data[at] ^ other]) + data[at + 1 :])
        assert failed(verify(report, anchors, quick())), f"byte {at} of {path.name} xor {other} was not found"
        path.write_bytes(data)
    assert failed(verify(report, anchors, quick())) == {}


def test_the_command_says_a_line_a_check_and_ends_with_its_code(
    report: Path, anchors: Anchors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accountants, "installed", quick)
    arguments = ["verify", str(report), "--consortium-key", str(anchors.consortium_key), "--signer", anchors.signers[0]]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0
    assert "ok         figures: each is what the evidence gives" in done.stdout.splitlines()
    (report / "report.html").write_text("<p>All is well.</p>")
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert isinstance(done.exception, CorruptState)
    said = json.loads(done.stdout)
    assert said["verified"] is False
    assert [check["name"] for check in said["checks"] if check["outcome"] == "FAILED"] == ["page"]
    with pytest.raises(ConfigError, match="no folder"):
        CliRunner().invoke(app, ["verify", str(report / "missing")], catch_exceptions=False, standalone_mode=False)

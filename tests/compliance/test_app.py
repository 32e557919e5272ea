import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from typer.testing import CliRunner

from compliance import clauses, publication
from compliance.app import app
from compliance.studies import Accountants
from privacy.errors import ConfigError, CorruptState, StorageError
from tests.compliance.evidence import SILOS, Consortium

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["report", *map(str, arguments)], catch_exceptions=False, standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.stdout


def test_it_writes_a_page_and_its_record(trained: Consortium, tmp_path: Path) -> None:
    output = tmp_path / "out" / "report"
    printed = json.loads(run(trained.root, "-o", output, "--json"))
    record = (output / "report.json").read_bytes()
    assert json.loads(record) == printed
    assert hashlib.sha256(record).hexdigest() in (output / "report.html").read_text()
    figures = printed["studies"][0]["figures"]
    assert figures["agree"] is True
    assert abs(figures["prv"] - figures["pld"]) <= 0.02 < figures["rdp"] - figures["pld"]
    assert printed["summary"]["spent"] == figures["pld"]


@pytest.fixture
def quick(accountants: Accountants, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accountants, "installed", lambda: accountants)


@pytest.mark.usefixtures("quick")
def test_it_speaks_to_a_person(trained: Consortium, tmp_path: Path) -> None:
    said = run(trained.root, "-o", tmp_path / "report")
    assert "4 of 4" in said
    assert "any one patient" in said


def test_failed_evidence_ends_with_its_own_code_and_a_report(consortium: Consortium, tmp_path: Path) -> None:
    consortium.approve("beta")
    (consortium.root / "beta" / "ledger" / "entries.jsonl").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-m", "compliance.app", "report", str(consortium.root), "-o", str(tmp_path / "report")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == CorruptState.exit_code
    assert done.stderr.startswith("error: the report was written, but")
    assert "Traceback" not in done.stderr
    assert "not verified" in (tmp_path / "report" / "report.html").read_text()


def test_a_wrong_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        run(tmp_path / "missing", "-o", tmp_path / "report")
    assert not (tmp_path / "report").exists()


@pytest.mark.usefixtures("quick")
def test_an_output_that_cannot_be_written_is_said(trained: Consortium) -> None:
    with pytest.raises(StorageError, match="could not be written"):
        run(trained.root, "-o", "/proc/report")


def test_help_is_quick_and_has_an_example() -> None:
    slow = "torch, opacus, dp_accounting, jinja2, weasyprint"
    code = (
        "import sys; from typer.testing import CliRunner; from compliance.app import app; "
        "print(CliRunner().invoke(app, ['report', '--help']).stdout); "
        f"assert not {{m for m in '{slow}'.split(', ') if m in sys.modules}}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "Example: collegium-compliance report" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_a_hundred_rounds_of_three_hospitals_take_less_than_15_seconds(consortium: Consortium, tmp_path: Path) -> None:
    consortium.rounds = 100
    consortium.publish()
    for silo in SILOS:
        consortium.approve(silo)
        for number in range(1, 101):
            consortium.train(silo, number)
    before = time.process_time()
    run(consortium.root, "-o", tmp_path / "report")
    assert time.process_time() - before < 15


@pytest.mark.usefixtures("quick")
def test_it_signs_compares_and_takes_other_clauses(trained: Consortium, tmp_path: Path) -> None:
    key = tmp_path / "me.pem"
    key.write_bytes(
        trained.keys["alpha"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"words"))
    )
    (tmp_path / "words").write_text("words\n")
    for path in (key, tmp_path / "words"):
        path.chmod(0o600)
    who = ("--sign", key, "--passphrase-file", tmp_path / "words", "--name", "Dr. Ada Roe", "--meaning", "authored")
    run(trained.root, "-o", tmp_path / "first", "--no-pdf")
    options = ("--previous", tmp_path / "first" / "report.json", "--clauses", clauses.OURS, "--no-pdf")
    said = run(trained.root, "-o", tmp_path / "second", *who, *options)
    assert "Dr. Ada Roe" in said
    data, (signature,) = publication.read(tmp_path / "second")
    assert (signature.name, signature.meaning) == ("Dr. Ada Roe", "authored")
    assert json.loads(data)["changes"]["changed"] == []
    assert (tmp_path / "second" / "previous.json").read_bytes() == (tmp_path / "first" / "report.json").read_bytes()
    with pytest.raises(ConfigError, match="--name and --meaning"):
        run(trained.root, "-o", tmp_path / "third", "--sign", key)

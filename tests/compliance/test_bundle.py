import json
import re
import shutil
import subprocess
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compliance import bundle, printing, publication
from compliance.checks.folder import read_record
from compliance.evidence import gather
from compliance.report import FORMAT, build
from compliance.signing import Meaning, Signer
from compliance.studies import Accountants
from privacy.errors import ConfigError, CorruptState
from privacy.ledger.facts import reporting
from tests.compliance.evidence import SILOS, Consortium

AT = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)


def make(consortium: Consortium, accountants: Accountants, directory: Path, *, pdf: bool = False) -> Path:
    with bundle.new(directory) as folder:
        bundle.collect([consortium.root], folder / bundle.EVIDENCE)
        record = build(gather(folder / bundle.EVIDENCE), accountants, AT).canonical()
        (folder / bundle.RECORD).write_bytes(record)
        publication.publish(folder, pdf=pdf)
    return directory


def streams(pdf: bytes) -> list[bytes]:
    """What the compressed parts of a PDF hold."""
    found = re.findall(rb"/FlateDecode.*?>>\nstream\n(.*?)\nendstream", pdf, flags=re.DOTALL)
    return [zlib.decompress(part) for part in found]


def signer(name: str = "Dr. Ada Roe") -> Signer:
    return Signer(Ed25519PrivateKey.generate(), name, Meaning.APPROVED)


def test_it_holds_what_it_was_made_from(trained: Consortium, accountants: Accountants, tmp_path: Path) -> None:
    made = make(trained, accountants, tmp_path / "made")
    assert {path.name for path in made.iterdir()} == {"report.json", "report.html", "evidence"}
    shutil.rmtree(trained.root)
    again = build(gather(made / "evidence"), accountants, AT)
    assert again.canonical() == (made / "report.json").read_bytes()
    assert again.summary.verified == 4


def test_a_ledger_knows_it_by_the_digest_that_verify_prints(
    trained: Consortium, accountants: Accountants, tmp_path: Path
) -> None:
    made = make(trained, accountants, tmp_path / "made")
    known = reporting.read_report(made)
    assert known.digest == read_record(made).digest
    assert known.studies == (trained.study.name,)
    assert (reporting.RECORD, reporting.MAX_RECORD) == (bundle.RECORD, bundle.MAX_RECORD)
    assert FORMAT.startswith(reporting.FORMAT)


def test_only_public_files_are_copied(trained: Consortium, accountants: Accountants, tmp_path: Path) -> None:
    secret = trained.root / "alpha" / "identity"
    secret.mkdir()
    (secret / "origin.json").write_text("{}")
    (trained.root / "alpha" / "ledger" / "details").mkdir(exist_ok=True)
    (trained.root / "alpha" / "ledger" / "details" / "x.json").write_text("{}")
    (trained.root / "beta" / "ledger" / "entries.jsonl").rename(tmp_path / "elsewhere")
    (trained.root / "beta" / "ledger" / "entries.jsonl").symlink_to(tmp_path / "elsewhere")
    made = make(trained, accountants, tmp_path / "made")
    files = {
        path.relative_to(made / "evidence").as_posix() for path in (made / "evidence").rglob("*") if path.is_file()
    }
    four = ("version", "origin.json", "entries.jsonl", "head.json")
    wanted = {f"{party}/ledger/{name}" for party in (*SILOS, "adder") for name in four}
    assert files == wanted - {"beta/ledger/entries.jsonl"} | {"studies/chest-pneumonia.yaml"}


def test_other_reports_and_itself_are_not_evidence(
    trained: Consortium, accountants: Accountants, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        make(trained, accountants, trained.root / name)
    assert len(json.loads((trained.root / "two" / "report.json").read_bytes())["ledgers"]) == 4
    # A report's folder that is named is evidence.
    with bundle.new(tmp_path / "three") as folder:
        bundle.collect([trained.root / "two", trained.root], folder / bundle.EVIDENCE)
        assert (folder / bundle.EVIDENCE / "alpha-2").exists()
        assert len(gather(folder / bundle.EVIDENCE).ledgers) == 4


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), bundle.new(tmp_path / "out") as folder:
        (folder / "report.json").write_text("{}")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ConfigError, match="already"), bundle.new(tmp_path / "full"):
        pass
    (tmp_path / "empty").mkdir()
    with bundle.new(tmp_path / "empty") as folder:
        (folder / "x").touch()
    assert (tmp_path / "empty" / "x").exists()


def test_signatures_are_printed_on_the_page(trained: Consortium, accountants: Accountants, tmp_path: Path) -> None:
    made = make(trained, accountants, tmp_path / "made")
    data, none = publication.read(made)
    assert none == ()
    for name in ("Dr. Ada Roe", "B. Poe"):
        bundle.add_signature(made, signer(name).sign(data, AT))
    publication.publish(made, pdf=False)
    assert [one.name for one in publication.read(made)[1]] == ["Dr. Ada Roe", "B. Poe"]
    assert (made / "report.json").read_bytes() == data
    page = (made / "report.html").read_text()
    assert "Dr. Ada Roe" in page
    assert "B. Poe" in page


def test_a_changed_record_or_a_foreign_signature_is_refused(
    trained: Consortium, accountants: Accountants, tmp_path: Path
) -> None:
    made = make(trained, accountants, tmp_path / "made")
    data, _ = publication.read(made)
    bundle.add_signature(made, signer().sign(data, AT))
    (made / "report.json").write_bytes(data.replace(b'"cap":8', b'"cap":9'))
    with pytest.raises(CorruptState, match="another report"):
        publication.publish(made, pdf=False)
    (made / "report.json").write_bytes(data + b"\n")
    with pytest.raises(CorruptState, match="not as it was written"):
        publication.read(made)
    (made / "report.json").unlink()
    with pytest.raises(CorruptState):
        publication.read(made)
    (made / "report.json").write_bytes(data)
    (made / "signatures" / "note.txt").touch()
    with pytest.raises(CorruptState, match="no signature"):
        publication.read(made)


def test_the_print_holds_the_record_and_is_the_same_each_time(
    trained: Consortium, accountants: Accountants, tmp_path: Path
) -> None:
    pytest.importorskip("weasyprint", reason="the extra 'report' is not installed here", exc_type=ImportError)
    made = make(trained, accountants, tmp_path / "made")
    data, _ = publication.read(made)
    bundle.add_signature(made, signer().sign(data, AT))
    publication.publish(made, pdf=True)
    first = (made / "report.pdf").read_bytes()
    publication.publish(made, pdf=True)
    assert (made / "report.pdf").read_bytes() == first
    assert any(b"<pdfaid:part>3</pdfaid:part>" in part or b'pdfaid:part="3"' in part for part in streams(first))
    assert data in streams(first)
    if shutil.which("pdfdetach"):
        subprocess.run(["pdfdetach", "-saveall", "-o", tmp_path, made / "report.pdf"], check=True, capture_output=True)
        assert (tmp_path / "report.json").read_bytes() == data
        assert (tmp_path / "signature-001.json").read_bytes() == (made / "signatures" / "001.json").read_bytes()


def test_without_weasyprint_a_print_is_refused_and_a_page_is_not(
    trained: Consortium, accountants: Accountants, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing, "installed", lambda: False)
    assert make(trained, accountants, tmp_path / "page").exists()
    with pytest.raises(ConfigError, match="extra 'report'"):
        make(trained, accountants, tmp_path / "print", pdf=True)

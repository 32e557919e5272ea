"""A ledger that was cut, put back, recovered or written with another key is found, also by what others saw of it."""

import json
import shutil
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compliance import publication
from compliance.canonical import canonical
from compliance.evidence import gather
from compliance.report import build
from compliance.verify import Anchors, verify
from privacy.digest import Json
from tests.compliance.evidence import Consortium
from tests.compliance.history import AT, cosign, failed, history, make, quick, witness


def test_a_removed_entry_is_found(report: Path, anchors: Anchors) -> None:
    entries = report / "evidence" / "beta" / "ledger" / "entries.jsonl"
    lines = entries.read_bytes().splitlines(keepends=True)
    entries.write_bytes(b"".join(lines[:4] + lines[5:]))
    found = failed(verify(report, anchors, quick()))
    assert "ledger beta" in found
    assert "figures" in found


def test_a_ledger_put_back_is_found(tmp_path: Path) -> None:
    """An older copy of a ledger is sound in itself, signed head and all."""
    consortium = history(tmp_path / "evidence")
    with consortium.ledger("gamma") as ledger:
        size = len(ledger.entries)
    shutil.copytree(consortium.root / "gamma", tmp_path / "older")
    consortium.train("gamma", 5)
    witness(consortium, "beta")
    shutil.rmtree(consortium.root / "gamma")
    shutil.copytree(tmp_path / "older", consortium.root / "gamma")
    found = failed(verify(make(consortium, tmp_path / "report"), Anchors(), quick()))
    assert set(found) == {"witnesses"}
    assert f"gamma has {size} entries here, and beta saw {size + 5}" in found["witnesses"]


def test_a_recovered_ledger_fails_for_what_it_lost_and_its_own_word_for_it_is_named(tmp_path: Path) -> None:
    """That entries were given up is no proof of what they were: a hospital that drops entries could say the same."""
    consortium = history(tmp_path / "evidence")
    shutil.copytree(consortium.root / "gamma", tmp_path / "older")
    consortium.train("gamma", 5)
    with consortium.ledger("gamma") as ledger:
        size, root = ledger.head()
    witness(consortium, "beta")
    cosign(consortium)
    shutil.rmtree(consortium.root / "gamma")
    shutil.copytree(tmp_path / "older", consortium.root / "gamma")
    given_up: list[Json] = [{"party": "beta", "size": size, "root": root.hex()}]
    consortium.train("gamma", 5)
    consortium.write("gamma", "recovered", reason="disk died", by="ada", witnesses=given_up, size=size)
    found = failed(verify(make(consortium, tmp_path / "report"), Anchors(), quick()))
    assert set(found) == {"witnesses", "cosignatures"}
    for line in found.values():
        assert "gamma" in line
        assert "says that lost entries were given up" in line


def test_the_last_report_is_bound_to_this_one(report: Path, anchors: Anchors, tmp_path: Path) -> None:
    before = json.loads((report / "report.json").read_bytes())
    # Slipped into the folder of a report that was made without.
    (report / "previous.json").write_bytes(canonical(before))
    assert "not what the record" in failed(verify(report, anchors, quick()))["previous report"]
    (report / "previous.json").unlink()
    record = build(gather(report / "evidence"), quick(), AT, previous=before).canonical()
    shutil.rmtree(report / "signatures")
    (report / "report.json").write_bytes(record)
    assert "is missing" in failed(verify(report, Anchors(), quick()))["previous report"]
    (report / "previous.json").write_bytes(canonical(before))
    publication.publish(report, pdf=False)
    assert failed(verify(report, Anchors(), quick())) == {}
    for other in (canonical({**before, "made_at": "2020-01-01T00:00:00Z"}), b"{}"):
        (report / "previous.json").write_bytes(other)
        assert "not what the record" in failed(verify(report, Anchors(), quick()))["previous report"]


def test_a_ledger_shorter_than_the_last_report_saw_it_is_found(report: Path) -> None:
    before = json.loads((report / "report.json").read_bytes())
    before["ledgers"][0]["entries"] += 1
    record = build(gather(report / "evidence"), quick(), AT, previous=before).canonical()
    shutil.rmtree(report / "signatures")
    (report / "report.json").write_bytes(record)
    (report / "previous.json").write_bytes(canonical(before))
    publication.publish(report, pdf=False)
    assert "put back" in failed(verify(report, Anchors(), quick()))["previous report"]


def test_a_ledger_of_a_foreign_key_is_found(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path / "evidence")
    consortium.publish()
    honest = consortium.keys
    study = consortium.study
    consortium.keys = {**honest, "beta": Ed25519PrivateKey.generate()}
    with consortium.ledger("beta") as ledger:
        ledger.append("study_published", {"study_digest": study.digest().hex()})
    found = failed(verify(make(consortium, tmp_path / "report"), Anchors(), quick()))
    assert "beta is written with another key" in found["keys"]

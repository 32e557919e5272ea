import builtins
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from compliance import evidence
from compliance.evidence import gather
from privacy.errors import ConfigError
from tests.compliance.evidence import SILOS, Consortium


def test_ledgers_and_studies_are_found_and_verified(trained: Consortium) -> None:
    evidence = gather(trained.root)
    assert [(found.role, found.party) for found in evidence.ledgers] == [
        *(("silo", silo) for silo in SILOS),
        ("aggregator", "adder"),
    ]
    assert all(found.entries and not found.problem for found in evidence.ledgers)
    assert [found.digest for found in evidence.studies] == [trained.study.digest().hex()]
    assert evidence.study("00") is None
    assert evidence.problems == ()


def test_no_key_file_is_opened(trained: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = trained.root / "alpha" / "identity"
    secret.mkdir()
    for name in ("identity.key", "tls.key", "consortium.json", "signed.yaml"):
        (secret / name).write_text("signature: secret")
    (trained.root / "alpha" / "silo.yaml").write_text("name: alpha\n")
    (trained.root / "linked.yaml").symlink_to(secret / "signed.yaml")
    opened: list[str] = []
    real_open, real_os_open = builtins.open, os.open

    def watched(path: Any, *arguments: Any, **named: Any) -> Any:
        opened.append(str(path))
        return real_open(path, *arguments, **named)

    def watched_os(path: Any, *arguments: Any, **named: Any) -> Any:
        opened.append(str(path))
        return real_os_open(path, *arguments, **named)

    monkeypatch.setattr("io.open", watched)
    monkeypatch.setattr(builtins, "open", watched)
    monkeypatch.setattr(os, "open", watched_os)
    gather(trained.root)
    ours = {Path(path).name for path in opened if path.startswith(str(trained.root))}
    assert ours == {"version", "origin.json", "head.json", "entries.jsonl", "silo.yaml", f"{trained.name}.yaml"}
    assert not any("identity" in path for path in opened)


def test_a_damaged_ledger_is_evidence_too(trained: Consortium) -> None:
    file = trained.root / "beta" / "ledger" / "entries.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"round":3', b'"round":4', 1))
    found = next(found for found in gather(trained.root).ledgers if found.place == "beta/ledger")
    assert found.entries == ()
    assert "changed" in found.problem
    assert (found.party, found.role) == ("beta/ledger", "")


def test_a_changed_study_is_a_problem(trained: Consortium) -> None:
    path = trained.publish()
    path.write_text(path.read_text().replace("epsilon: 8.0", "epsilon: 7.0"))
    evidence = gather(trained.root)
    assert evidence.studies == ()
    assert "altered" in evidence.problems[0]


def test_a_draft_is_no_evidence(trained: Consortium) -> None:
    path = trained.publish()
    path.write_text(path.read_text().split("\nsignature:")[0] + "\n")
    assert gather(trained.root).studies == ()
    assert gather(trained.root).problems == ()


def test_of_copies_the_longest_counts(trained: Consortium) -> None:
    shutil.copytree(trained.root / "alpha" / "ledger", trained.root / "backup")
    trained.write("alpha", "incident", code="x", detail="later")
    evidence = gather(trained.root)
    assert sum(found.party == "alpha" for found in evidence.ledgers) == 1
    assert all(not found.problem for found in evidence.ledgers)


def test_copies_that_tell_different_histories_are_found(trained: Consortium) -> None:
    # The holder of the key restores a backup and goes on from there: both copies verify by themselves.
    fork = Consortium(trained.root / "fork", keys=trained.keys)
    shutil.copytree(trained.root / "alpha", trained.root / "fork" / "alpha")
    trained.write("alpha", "incident", code="x", detail="one history")
    fork.write("alpha", "incident", code="x", detail="another history")
    found = [found for found in gather(trained.root).ledgers if found.problem]
    assert len(found) == 1
    assert "different histories" in found[0].problem


def test_a_folder_without_ledgers_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no ledger"):
        gather(tmp_path)
    with pytest.raises(ConfigError, match="no folder"):
        gather(tmp_path / "missing")


def test_long_ledgers_are_read_by_several_processes_alike(trained: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    (trained.root / "beta" / "ledger" / "head.json").write_text("{}")
    alone = gather(trained.root)
    monkeypatch.setattr(evidence, "_LONG", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert gather(trained.root) == alone
    assert [found.problem != "" for found in alone.ledgers].count(True) == 1

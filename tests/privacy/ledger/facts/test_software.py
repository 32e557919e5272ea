from pathlib import Path

import pytest

from privacy.ledger.facts import software
from privacy.ledger.store import Ledger


def test_it_is_entered_once_and_again_when_it_changes(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        software.enter(ledger, ("privacy",))
    (entry,) = ledger.entries
    assert entry.kind == "software"
    assert entry.body == software.inventory(("privacy",))
    monkeypatch.setattr(software, "_version", lambda _: "9")
    software.enter(ledger, ("privacy",))
    assert len(ledger.entries) == 2
    libraries = ledger.entries[1].body["libraries"]
    assert isinstance(libraries, dict)
    assert libraries["torch"] == "9"


def test_the_digest_is_of_every_file_and_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "made_up"
    (package / "inner").mkdir(parents=True)
    (package / "__pycache__").mkdir()
    (package / "__init__.py").write_text("a = 1")
    (package / "inner" / "data.yaml").write_text("b")
    monkeypatch.syspath_prepend(tmp_path)
    before = software.inventory(("made_up",))["code"]
    (package / "__pycache__" / "x.pyc").write_text("c")
    assert software.inventory(("made_up",))["code"] == before
    (package / "inner" / "data.yaml").rename(package / "inner" / "other.yaml")
    assert software.inventory(("made_up",))["code"] != before


def test_libraries_that_are_missing_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "LIBRARIES", ("numpy", "no-such-library-here"))
    libraries = software.inventory(("privacy",))["libraries"]
    assert isinstance(libraries, dict)
    assert set(libraries) == {"python", "numpy"}

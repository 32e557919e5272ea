"""Parties whose ledgers do not tell one story are found."""

import shutil
from pathlib import Path

from compliance.verify import Anchors, verify
from tests.compliance.history import failed, history, make, quick


def test_an_entry_left_out_by_its_own_party_is_found(tmp_path: Path, anchors: Anchors) -> None:
    """The hospital holds its key and can write another ledger: what the others know of it gives it away."""
    honest = history(tmp_path / "evidence")
    shutil.rmtree(honest.root / "beta")
    honest.approve("beta")
    honest.train("beta", 1)
    honest.train("beta", 3)
    found = failed(verify(make(honest, tmp_path / "report"), Anchors(), quick()))
    assert set(found) == {"witnesses", "rounds"}
    assert "beta took part in round 2 according to adder" in found["rounds"]


def test_metrics_that_were_released_and_not_entered_are_found(tmp_path: Path) -> None:
    def endings(silo: str, number: int) -> str:
        return "silent" if (silo, number) == ("gamma", 4) else "closed"

    found = failed(verify(make(history(tmp_path / "evidence", endings), tmp_path / "report"), Anchors(), quick()))
    assert set(found) == {"rounds"}
    assert "gamma took part in round 4 according to adder, and its own ledger has no release in it" in found["rounds"]


def test_parties_that_tell_two_stories_are_found(tmp_path: Path) -> None:
    def endings(silo: str, number: int) -> str:
        return "abandoned" if (silo, number) == ("beta", 2) else "closed"

    found = failed(verify(make(history(tmp_path / "evidence", endings), tmp_path / "report"), Anchors(), quick()))
    assert set(found) == {"rounds"}
    assert "do not agree on the outcome of round 2" in found["rounds"]

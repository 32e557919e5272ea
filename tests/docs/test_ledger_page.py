"""The verifier that the ledger's page gives to strangers, run on real ledgers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.ledger.files import LAYOUT
from privacy.ledger.store import Ledger
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs/reference/ledger.md"
ORIGIN = "spiffe://demo/silo/alpha"


@pytest.fixture(scope="module")
def verify() -> Callable[[Path], Any]:
    (code,) = (part.text for part in blocks(PAGE) if part.language == "python")
    names: dict[str, Any] = {}
    exec(compile(code, PAGE.name, "exec"), names)
    return names["verify"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    key = Ed25519PrivateKey.generate()
    with Ledger.create(tmp_path / "ledger", ORIGIN, key) as ledger:
        for number in range(7):
            ledger.append("incident", {"code": "a.b", "detail": f"Größe {number}"}, {"by": "ada"} if number else None)
    return tmp_path / "ledger"


def test_it_says_what_the_ledger_says(verify: Callable[[Path], Any], folder: Path) -> None:
    named, head = (json.loads((folder / name).read_bytes()) for name in ("origin.json", "head.json"))
    assert verify(folder) == (ORIGIN, named["key"], 7, head["root"])


def test_it_finds_what_was_changed(verify: Callable[[Path], Any], folder: Path) -> None:
    for name in ("version", "origin.json", "head.json", "entries.jsonl"):
        original = (folder / name).read_bytes()
        for position in range(0, len(original), 1 if len(original) < 500 else 53):
            damaged = bytearray(original)
            damaged[position] ^= 1
            (folder / name).write_bytes(damaged)
            with pytest.raises(Exception):  # noqa: B017, PT011 - whatever says that it is not right
                verify(folder)
        (folder / name).write_bytes(original)
    (folder / "entries.jsonl").write_bytes(b"".join((folder / "entries.jsonl").read_bytes().splitlines(True)[:-1]))
    with pytest.raises(ValueError, match="not those that the head covers"):
        verify(folder)


def test_the_page_names_the_present_layout() -> None:
    assert f"the one line `collegium-ledger/{LAYOUT}`" in PAGE.read_text()

"""The ledger on plain files: what is appended is there for good, under one writer with the right key."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.errors import AlreadyRunning, CorruptState, IdentityError
from privacy.ledger.store import Ledger, read
from privacy.ledger.tree import leaf_hash, root
from tests.privacy.ledger.stored import ORIGIN, filled, opened


def test_what_is_appended_is_read_back(ledger: Ledger, folder: Path, key: Ed25519PrivateKey) -> None:
    first = ledger.append("round_opened", opened(1))
    second = ledger.append("closed", {**opened(1), "outcome": "closed", "chain": "cd"})
    verified = read(folder)
    assert verified.entries == ledger.entries == (first, second)
    assert (verified.size, verified.root) == ledger.head()
    assert verified.root == root([leaf_hash(first.line()), leaf_hash(second.line())])
    assert (verified.origin, verified.key) == (ORIGIN, key.public_key().public_bytes_raw())
    assert (verified.acknowledged, verified.torn_bytes) == (2, 0)
    assert first.time == "2026-03-01T12:00:01.000000Z"
    assert second.previous == root([leaf_hash(first.line())]).hex()


def test_it_goes_on_after_being_reopened(ledger: Ledger, folder: Path, key: Ed25519PrivateKey) -> None:
    filled(ledger)
    with Ledger.open(folder, key) as again:
        assert again.origin == ORIGIN
        again.append("round_opened", opened(9))
    assert read(folder).size == 6


def test_an_empty_ledger_is_in_order(ledger: Ledger, folder: Path) -> None:
    assert read(folder).size == 0
    assert ledger.head() == (0, root([]))


def test_files_are_for_their_owner_only(ledger: Ledger, folder: Path) -> None:
    ledger.append("round_opened", opened(1))
    assert folder.stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in folder.iterdir())
    assert sorted(file.name for file in folder.iterdir()) == ["entries.jsonl", "head.json", "origin.json", "version"]


def test_a_ledger_is_never_replaced(ledger: Ledger, folder: Path, key: Ed25519PrivateKey) -> None:
    filled(ledger)
    with pytest.raises(CorruptState, match="already"):
        Ledger.create(folder, ORIGIN, key)
    (folder / "origin.json").unlink()
    with pytest.raises(CorruptState, match="already"):
        Ledger.create(folder, ORIGIN, key)


def test_an_interrupted_creation_is_begun_anew(ledger: Ledger, folder: Path, key: Ed25519PrivateKey) -> None:
    ledger.close()
    (folder / "origin.json").unlink()
    with Ledger.create(folder, ORIGIN, key) as again:
        assert again.head()[0] == 0


def test_one_writer_at_a_time(ledger: Ledger, folder: Path, key: Ed25519PrivateKey) -> None:
    with pytest.raises(AlreadyRunning):
        Ledger.open(folder, key)
    ledger.close()
    Ledger.open(folder, key).close()


def test_another_key_cannot_write(ledger: Ledger, folder: Path) -> None:
    ledger.close()
    with pytest.raises(IdentityError, match="another identity key"):
        Ledger.open(folder, Ed25519PrivateKey.generate())


def test_a_closed_ledger_is_misuse(ledger: Ledger) -> None:
    ledger.close()
    ledger.close()
    with pytest.raises(RuntimeError, match="closed"):
        ledger.append("round_opened", opened(1))

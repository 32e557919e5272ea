import hashlib
import hmac
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.digest import canonical_json
from privacy.errors import CorruptState, StorageError
from privacy.ledger.details import SideStore
from privacy.ledger.store import Ledger, read

BODY = {"study_digest": "ab", "round": 1}
DETAILS = {"by": "ada", "where": "/mnt/archive"}


def file_of(folder: Path) -> Path:
    (found,) = (folder / "details").iterdir()
    return found


def test_the_entry_holds_a_commitment_and_the_side_store_the_rest(ledger: Ledger, folder: Path) -> None:
    entry = ledger.append("round_opened", BODY, DETAILS)
    name = str(entry.body["details"])
    assert b'"ada"' not in (folder / "entries.jsonl").read_bytes()
    assert ledger.details.get(name) == DETAILS
    stored = json.loads(file_of(folder).read_bytes())
    salt = bytes.fromhex(stored["salt"])
    assert len(salt) == 32
    message = b"collegium/v1/ledger-details\0" + canonical_json(DETAILS)
    assert name == hmac.new(salt, message, hashlib.sha256).hexdigest()
    assert file_of(folder).name == f"{name}.json"
    assert (file_of(folder).stat().st_mode & 0o777, (folder / "details").stat().st_mode & 0o777) == (0o600, 0o700)


def test_equal_details_have_different_commitments(ledger: Ledger) -> None:
    first, second = (ledger.append("round_opened", BODY, DETAILS) for _ in range(2))
    assert first.body["details"] != second.body["details"]


def test_an_entry_is_the_same_with_its_details_erased(ledger: Ledger, folder: Path) -> None:
    entry = ledger.append("round_opened", BODY, DETAILS)
    erasing = ledger.erase_details(0, "a request under GDPR 17", "data protection officer")
    assert (erasing.kind, erasing.body["entry"]) == ("details_erased", 0)
    assert list((folder / "details").iterdir()) == []
    assert ledger.details.get(str(entry.body["details"])) is None
    assert read(folder).entries == (entry, erasing)


def test_only_an_entry_with_details_has_any_to_erase(ledger: Ledger) -> None:
    ledger.append("round_opened", BODY)
    for number in (-1, 0, 1):
        with pytest.raises(ValueError, match="no entry with details"):
            ledger.erase_details(number, "why", "who")


def test_altered_details_are_found(ledger: Ledger, folder: Path) -> None:
    name = str(ledger.append("round_opened", BODY, DETAILS).body["details"])
    original = file_of(folder).read_bytes()
    for position in range(len(original)):
        damaged = bytearray(original)
        damaged[position] ^= 1 << position % 7
        file_of(folder).write_bytes(damaged)
        with pytest.raises(CorruptState, match=name[:12]):
            ledger.details.get(name)


def test_an_erasure_that_was_stopped_is_ended_at_the_next_open(
    ledger: Ledger, folder: Path, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append("round_opened", BODY, DETAILS)
    ledger.append("round_opened", BODY, DETAILS)

    def stopped(self: SideStore, name: str) -> None:
        raise StorageError("stopped here")

    with monkeypatch.context() as patch:
        patch.setattr(SideStore, "erase", stopped)
        with pytest.raises(StorageError):
            ledger.erase_details(0, "why", "who")
    ledger.close()
    assert len(list((folder / "details").iterdir())) == 2
    with Ledger.open(folder, key) as again:
        kept = str(again.entries[1].body["details"])
    assert file_of(folder).name == f"{kept}.json"


def test_details_whose_entry_never_was_are_removed_at_the_next_open(
    ledger: Ledger, folder: Path, key: Ed25519PrivateKey
) -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        ledger.append("rumour", BODY, DETAILS)
    ledger.close()
    assert file_of(folder).exists()
    Ledger.open(folder, key).close()
    assert list((folder / "details").iterdir()) == []


@pytest.mark.parametrize("value", ["", "ab", "AB" * 32, 7, None, ["00" * 32]])
def test_a_commitment_has_one_form(ledger: Ledger, value: object) -> None:
    with pytest.raises(ValueError, match="commitment"):
        ledger.append("round_opened", {**BODY, "details": value})  # type: ignore[dict-item]

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy import durable
from privacy.digest import canonical_json
from privacy.errors import CorruptState, StorageError
from privacy.ledger import files
from privacy.ledger.store import Ledger, read

ORIGIN = "spiffe://demo/silo/alpha"


def to_layout_1(folder: Path) -> None:
    """As the first version of Collegium left it."""
    (folder / "version").unlink()
    named = json.loads((folder / "origin.json").read_bytes())
    (folder / "origin.json").write_bytes(canonical_json({**named, "format": "collegium-ledger/1"}) + b"\n")


def filled(ledger: Ledger) -> None:
    for number in range(3):
        ledger.append("round_opened", {"study_digest": "ab", "round": number})
    ledger.close()


def test_the_version_file_is_one_line(ledger: Ledger, folder: Path) -> None:
    assert (folder / "version").read_bytes() == b"collegium-ledger/2\n"
    assert files.layout(folder) == files.LAYOUT == 2


def test_a_later_layout_is_refused_before_anything_is_read_or_written(
    ledger: Ledger, folder: Path, key: Ed25519PrivateKey
) -> None:
    filled(ledger)
    (folder / "version").write_bytes(b"collegium-ledger/3\n")
    (folder / "head.json").unlink()
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    for action in (lambda: read(folder), lambda: Ledger.open(folder, key)):
        with pytest.raises(CorruptState, match="layout 3 and this program knows layouts 1 to 2") as caught:
            action()
        assert caught.value.code == "ledger.version"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.parametrize(
    "text", [b"", b"2", b"collegium-ledger/2", b"collegium-ledger/02\n", b"collegium-ledger/2\n\n"]
)
def test_a_damaged_version_is_named(ledger: Ledger, folder: Path, text: bytes) -> None:
    (folder / "version").write_bytes(text)
    with pytest.raises(CorruptState, match="version is damaged"):
        read(folder)


def test_the_first_layout_is_read_as_it_is(ledger: Ledger, folder: Path) -> None:
    filled(ledger)
    to_layout_1(folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert (files.layout(folder), read(folder).size) == (1, 3)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_the_first_layout_is_brought_forward_when_it_is_written(
    ledger: Ledger, folder: Path, key: Ed25519PrivateKey
) -> None:
    filled(ledger)
    to_layout_1(folder)
    entries, head = read(folder).entries, (folder / "head.json").read_bytes()
    with Ledger.open(folder, key) as again:
        assert again.entries == entries
        assert (folder / "head.json").read_bytes() == head
        again.append("round_opened", {"study_digest": "ab", "round": 3}, {"by": "root"})
    assert (files.layout(folder), read(folder).size) == (2, 4)


@pytest.mark.parametrize("step", [0, 1])
def test_a_migration_that_was_stopped_is_ended_later(
    ledger: Ledger, folder: Path, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    filled(ledger)
    to_layout_1(folder)
    real, calls = durable.write, 0

    def stopped(path: Path, data: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls > step:
            raise StorageError("stopped here")
        real(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write", stopped)
        with pytest.raises(StorageError):
            Ledger.open(folder, key)
    with Ledger.open(folder, key) as again:
        assert again.head()[0] == 3
    assert files.layout(folder) == 2


def test_a_version_that_is_missing_is_named_and_written_again_by_the_writer(
    ledger: Ledger, folder: Path, key: Ed25519PrivateKey
) -> None:
    filled(ledger)
    (folder / "version").unlink()
    with pytest.raises(CorruptState, match="version is missing"):
        read(folder)
    Ledger.open(folder, key).close()
    assert read(folder).size == 3


def test_an_origin_of_another_layout_than_the_folder_is_damage(
    ledger: Ledger, folder: Path, key: Ed25519PrivateKey
) -> None:
    named = json.loads((folder / "origin.json").read_bytes())
    ledger.close()
    (folder / "origin.json").write_bytes(canonical_json({**named, "format": "collegium-ledger/1"}) + b"\n")
    with pytest.raises(CorruptState, match=r"origin\.json is damaged"):
        read(folder)
    (folder / "version").unlink()
    (folder / "origin.json").write_bytes(canonical_json({**named, "format": "collegium-ledger/7"}) + b"\n")
    with pytest.raises(CorruptState, match=r"origin\.json is damaged"):
        Ledger.open(folder, key)

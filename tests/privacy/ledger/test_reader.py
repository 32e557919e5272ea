"""Whatever is changed in a ledger's files is found by who reads it, and named."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.digest import canonical_json
from privacy.errors import CorruptState
from privacy.ledger.entry import make
from privacy.ledger.line import Bodies
from privacy.ledger.reader import root_at
from privacy.ledger.store import Ledger, read
from privacy.ledger.tree import leaf_hash, root
from tests.privacy.ledger.stored import AT, ORIGIN, filled, lines, opened, refusal, write


def test_facts_alone_are_the_same_entries_without_their_seals(ledger: Ledger, folder: Path) -> None:
    filled(ledger)
    ledger.close()
    whole, facts = read(folder), read(folder, facts_only=True)
    assert [(e.sequence, e.time, e.kind, e.body) for e in facts.entries] == [
        (e.sequence, e.time, e.kind, e.body) for e in whole.entries
    ]
    assert {(e.previous, e.signature) for e in facts.entries} == {("", "")}
    assert (facts.size, facts.root) == (whole.size, whole.root) == (5, root_at(folder, 5))
    bare = read(folder, facts_only=True, bodies=Bodies(without=frozenset({"round_opened"})))
    assert ([dict(e.body) for e in bare.entries], bare.root) == ([{}] * 5, whole.root)


def test_the_root_of_an_earlier_size_is_that_of_its_entries(ledger: Ledger, folder: Path) -> None:
    heads = [ledger.head()[1]]
    for number in range(5):
        ledger.append("round_opened", opened(number))
        heads.append(ledger.head()[1])
    assert [root_at(folder, size) for size in range(6)] == heads
    with pytest.raises(ValueError, match="so many"):
        root_at(folder, 6)


@pytest.mark.parametrize("behind", [False, True], ids=["below the head", "behind the head"])
def test_facts_alone_find_and_name_a_changed_entry_too(ledger: Ledger, folder: Path, behind: bool) -> None:
    ledger.append("round_opened", opened(0))
    old_head = (folder / "head.json").read_bytes()
    filled(ledger)
    if behind:
        (folder / "head.json").write_bytes(old_head)
    for number in range(6):
        original = lines(folder)
        parts = list(original)
        parts[number] = parts[number].replace(b'"study_digest":"ab"', b'"study_digest":"ac"')
        write(folder, parts)
        with pytest.raises(CorruptState, match=f"entry {number} was changed"):
            read(folder, facts_only=True)
        write(folder, original)


def test_a_long_ledger_is_checked_on_threads_and_the_first_bad_entry_is_named(
    folder: Path, ledger: Ledger, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privacy.ledger.signatures.BATCH", 4)
    filled(ledger, 60)
    assert read(folder).size == 60
    parts = lines(folder)
    for number in (55, 21, 7):
        parts[number] = parts[number].replace(b'"study_digest":"ab"', b'"study_digest":"ac"')
        write(folder, parts)
        with pytest.raises(CorruptState, match=f"entry {number} was changed"):
            read(folder)


@pytest.mark.parametrize("name", ["origin.json", "entries.jsonl", "head.json"])  # version: test_files.py
def test_a_missing_file_is_named(ledger: Ledger, folder: Path, key: Ed25519PrivateKey, name: str) -> None:
    filled(ledger)
    (folder / name).unlink()
    assert refusal(folder) == "ledger.missing"
    with pytest.raises(CorruptState, match=name):
        Ledger.open(folder, key)


def test_a_changed_entry_is_found(ledger: Ledger, folder: Path) -> None:
    filled(ledger)
    parts = lines(folder)
    parts[2] = parts[2].replace(b'"round":2', b'"round":7')
    write(folder, parts)
    with pytest.raises(CorruptState, match="entry 2 was changed"):
        read(folder)


def test_any_changed_byte_is_found(ledger: Ledger, folder: Path) -> None:
    filled(ledger, 2)
    for file in folder.iterdir():
        original = file.read_bytes()
        for position in range(len(original)):
            damaged = bytearray(original)
            damaged[position] ^= 1 << position % 7
            file.write_bytes(damaged)
            with pytest.raises(CorruptState):
                read(folder)
        file.write_bytes(original)
    read(folder)


def test_a_removed_entry_is_found(ledger: Ledger, folder: Path) -> None:
    filled(ledger)
    parts = lines(folder)
    write(folder, parts[:2] + parts[3:])
    assert refusal(folder) == "ledger.sequence"


def test_a_removed_end_is_found(ledger: Ledger, folder: Path) -> None:
    filled(ledger)
    write(folder, lines(folder)[:-1])
    assert refusal(folder) == "ledger.removed"
    write(folder, [])
    assert refusal(folder) == "ledger.removed"


def test_a_removed_end_that_would_end_in_the_middle_of_a_line_is_not_repaired(
    ledger: Ledger, folder: Path, key: Ed25519PrivateKey
) -> None:
    filled(ledger)
    file = folder / "entries.jsonl"
    file.write_bytes(file.read_bytes()[:-10])
    before = file.read_bytes()
    assert refusal(folder) == "ledger.removed"
    with pytest.raises(CorruptState):
        Ledger.open(folder, key)
    assert file.read_bytes() == before


def test_reordered_entries_are_found(ledger: Ledger, folder: Path) -> None:
    filled(ledger)
    parts = lines(folder)
    write(folder, [parts[0], parts[2], parts[1], *parts[3:]])
    assert refusal(folder) == "ledger.sequence"


def test_a_repeated_entry_is_found(ledger: Ledger, folder: Path) -> None:
    filled(ledger)
    parts = lines(folder)
    write(folder, [*parts, parts[-1]])
    # Beyond the head and with a wrong number, it is dealt with as a torn end: cut, and recorded.
    assert read(folder).torn_bytes == len(parts[-1])
    write(folder, [parts[0], *parts])
    assert refusal(folder) == "ledger.sequence"


def test_an_entry_signed_by_another_is_found(ledger: Ledger, folder: Path) -> None:
    filled(ledger)
    parts = lines(folder)
    previous = root([leaf_hash(line[:-1]) for line in parts[:4]])
    forged = make(4, AT, "round_opened", opened(4), previous, ORIGIN, Ed25519PrivateKey.generate())
    write(folder, [*parts[:4], forged.line() + b"\n"])
    assert refusal(folder) == "ledger.signature"


def test_a_ledger_of_another_party_under_this_name_is_found(ledger: Ledger, folder: Path) -> None:
    filled(ledger)
    origin = json.loads((folder / "origin.json").read_bytes())
    for changed in (
        {**origin, "key": Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()},
        {**origin, "origin": "spiffe://demo/silo/beta"},
    ):
        (folder / "origin.json").write_bytes(canonical_json(changed) + b"\n")
        assert refusal(folder) == "ledger.head"


def test_a_history_that_was_forked_with_the_right_key_is_found(
    ledger: Ledger, folder: Path, key: Ed25519PrivateKey
) -> None:
    # The holder of the key writes an entry twice, after a restored backup: the entries after it do not fit.
    filled(ledger)
    parts = lines(folder)
    previous = root([leaf_hash(line[:-1]) for line in parts[:2]])
    parts[2] = make(2, AT, "round_opened", opened(99), previous, ORIGIN, key).line() + b"\n"
    write(folder, parts)
    assert refusal(folder) == "ledger.history"
    write(folder, parts[:3])
    assert refusal(folder) == "ledger.removed"


def test_a_rewritten_last_entry_does_not_fit_the_head(ledger: Ledger, folder: Path, key: Ed25519PrivateKey) -> None:
    filled(ledger)
    parts = lines(folder)
    previous = root([leaf_hash(line[:-1]) for line in parts[:4]])
    parts[4] = make(4, AT, "round_opened", opened(99), previous, ORIGIN, key).line() + b"\n"
    write(folder, parts)
    assert refusal(folder) == "ledger.head"


def test_an_old_head_is_no_excuse_for_foreign_entries(ledger: Ledger, folder: Path) -> None:
    ledger.append("round_opened", opened(0))
    old_head = (folder / "head.json").read_bytes()
    filled(ledger, 3)
    (folder / "head.json").write_bytes(old_head)
    assert read(folder).acknowledged == 1
    parts = lines(folder)
    write(folder, [parts[0], parts[1].replace(b'"round":0', b'"round":8'), *parts[2:]])
    assert refusal(folder) == "ledger.signature"

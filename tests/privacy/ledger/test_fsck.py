import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from privacy.digest import canonical_json
from privacy.ledger import readings
from privacy.ledger.fsck import Finding, examine
from privacy.ledger.heads import cosigner, note
from privacy.ledger.heads.cosignature import CosigningKeys
from privacy.ledger.heads.cosigned import Party, Shelf
from privacy.ledger.heads.watch import Watch
from privacy.ledger.store import Ledger, utc_now

ORIGIN = "spiffe://demo/silo/alpha"


def opened(number: int) -> dict[str, str | int]:
    return {"study_digest": "ab", "round": number}


def filled(ledger: Ledger, count: int = 3) -> None:
    for number in range(count):
        ledger.append("round_opened", opened(number), {"by": "ada"} if number == 1 else None)
    ledger.close()


def lines(folder: Path) -> list[bytes]:
    return (folder / "entries.jsonl").read_bytes().splitlines(keepends=True)


def entries(folder: Path, parts: list[bytes]) -> list[Finding]:
    (folder / "entries.jsonl").write_bytes(b"".join(parts))
    return examine(folder).findings


def test_a_sound_ledger_has_no_findings(ledger: Ledger, folder: Path, key: Ed25519PrivateKey) -> None:
    filled(ledger)
    readings.note(folder, "all", "ada", utc_now())
    seen = examine(folder, (ORIGIN, key.public_key().public_bytes_raw()))
    assert seen == examine(folder)
    assert not seen.findings
    assert (seen.entries, seen.acknowledged, seen.torn_bytes) == (3, 3, 0)
    assert (seen.details_kept, seen.details_erased, seen.readings) == (1, 0, 1)
    assert seen.root == json.loads((folder / "head.json").read_bytes())["root"]


def spans(folder: Path) -> list[int]:
    """The entry that each byte of the entries' file belongs to."""
    return [number for number, line in enumerate(lines(folder)) for _ in line]


@pytest.mark.parametrize("known", [True, False], ids=["identity known", "identity unknown"])
def test_every_single_damaged_byte_is_found_and_located(
    ledger: Ledger, folder: Path, key: Ed25519PrivateKey, known: bool
) -> None:
    filled(ledger)
    readings.note(folder, "all", "ada", utc_now())
    identity = (ORIGIN, key.public_key().public_bytes_raw()) if known else None
    owner = spans(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 6
    for file in files:
        original, name = file.read_bytes(), file.relative_to(folder).as_posix()
        # The second time a sample is enough: only what vouches for the key differs.
        for position in range(0, len(original), 1 if known else 5):
            damaged = bytearray(original)
            # A newline within a line, a line that goes on into the next, and a flipped bit.
            damaged[position] = 10 if position % 5 == 0 and original[position] != 10 else damaged[position] ^ 1
            file.write_bytes(damaged)
            findings = examine(folder, identity).findings
            found = findings[0]
            assert found.file == name, (name, position, findings)
            if name == "entries.jsonl":
                (first, *last), (start, end) = numbers(found)
                assert first <= owner[position] <= (last or [first])[0] <= first + 1, (position, found)
                assert start <= position <= end
                # The details of an entry that cannot be read are nobody's, and nothing else is found.
                assert len(findings) == 1
        file.write_bytes(original)
    assert not examine(folder, identity).findings


def numbers(found: Finding) -> tuple[list[int], tuple[int, int]]:
    which, where = found.where.removeprefix("entries ").removeprefix("entry ").split(", bytes ")
    start, end = where.split(" to ")
    return [int(number) for number in which.split(" to ")], (int(start), int(end))


def test_it_goes_on_after_the_first_damage(ledger: Ledger, folder: Path) -> None:
    filled(ledger, 9)
    parts = lines(folder)
    parts[2] = parts[2].replace(b'"round":2', b'"round":7')
    parts[6] = b"rubbish\nand more\n"
    (folder / "head.json").write_bytes(b"{}\n")
    found = entries(folder, parts)
    assert [one.file for one in found] == ["head.json", "entries.jsonl", "entries.jsonl"]
    assert [one.where.split(",")[0] for one in found[1:]] == ["entry 2", "entry 6"]
    assert examine(folder).entries == 7


def test_missing_repeated_and_reordered_entries_are_told_apart(ledger: Ledger, folder: Path) -> None:
    filled(ledger, 6)
    parts = lines(folder)
    for changed, what, where in (
        ([*parts[:2], *parts[4:]], "missing", "entries 2 to 3"),
        (parts[:-1], "missing", "entry 5"),
        ([], "missing", "entries 0 to 5"),
        ([*parts[:3], parts[1], *parts[3:]], "here again", "entry 1"),
        ([*parts[:2], parts[3], parts[2], *parts[4:]], "missing", "entry 2"),
        ([*parts[:2], b"x\n", *parts[2:]], "preceded by bytes", "entry 2"),
    ):
        found = entries(folder, changed)[0]
        assert what in found.what
        assert found.where.startswith(where + ",")


def test_a_fork_by_the_holder_of_the_key_is_located(ledger: Ledger, folder: Path, key: Ed25519PrivateKey) -> None:
    filled(ledger)
    older = {name: (folder / name).read_bytes() for name in ("entries.jsonl", "head.json")}
    with Ledger.open(folder, key) as again:
        again.append("round_opened", opened(3))
        again.append("round_opened", opened(4))
    first = lines(folder)
    for name, data in older.items():
        (folder / name).write_bytes(data)
    with Ledger.open(folder, key) as again:
        again.append("round_opened", opened(99))
        again.append("round_opened", opened(4))
    (found,) = entries(folder, [*first[:4], lines(folder)[4]])
    assert (found.where.split(",")[0], "another history" in found.what) == ("entry 4", True)
    (found,) = entries(folder, first)
    assert (found.file, "other entries" in found.what) == ("head.json", True)


@pytest.mark.parametrize("torn", [b'{"body":', b"\x00" * 400, b"{}\n"])
def test_a_torn_write_is_no_damage(ledger: Ledger, folder: Path, torn: bytes) -> None:
    filled(ledger)
    assert entries(folder, [*lines(folder), torn]) == []
    assert examine(folder).torn_bytes == len(torn)


def test_erased_lost_and_altered_details_are_told_apart(ledger: Ledger, folder: Path) -> None:
    for _ in range(4):
        ledger.append("round_opened", opened(1), {"by": "ada"})
    ledger.erase_details(0, "asked for", "ada")
    names = [str(entry.body["details"]) for entry in ledger.entries[:4]]
    ledger.close()
    altered, lost, stray = (folder / "details" / f"{name}.json" for name in (names[1], names[2], "stray"))
    stored = json.loads(altered.read_bytes())
    altered.write_bytes(canonical_json({**stored, "details": {"by": "bob"}}) + b"\n")
    lost.unlink()
    stray.write_bytes(b"")
    seen = examine(folder)
    assert (seen.details_erased, seen.details_kept) == (1, 1)
    assert [(one.file.split("/")[-1], one.where) for one in seen.findings] == [
        (altered.name, "details of entry 1"),
        ("details", "details of entry 2"),
        ("stray.json", ""),
    ]


def test_a_folder_without_a_ledger_and_one_of_a_later_version(ledger: Ledger, folder: Path, tmp_path: Path) -> None:
    filled(ledger)
    assert examine(tmp_path / "nothing").findings
    (folder / "version").write_bytes(b"collegium-ledger/9\n")
    (found,) = examine(folder).findings
    assert (found.file, "layout 9" in found.what) == ("version", True)


@pytest.mark.parametrize("name", ["version", "origin.json", "entries.jsonl", "head.json"])
def test_a_missing_file_is_named(ledger: Ledger, folder: Path, name: str) -> None:
    filled(ledger)
    (folder / name).unlink()
    assert any(one.file == name and "missing" in one.what for one in examine(folder).findings)


def test_another_partys_ledger_in_this_place_is_found(ledger: Ledger, folder: Path, key: Ed25519PrivateKey) -> None:
    filled(ledger)
    for identity in (
        ("spiffe://demo/silo/beta", key.public_key().public_bytes_raw()),
        (ORIGIN, Ed25519PrivateKey.generate().public_key().public_bytes_raw()),
    ):
        assert examine(folder, identity).findings[0].file == "origin.json"


def test_a_reading_is_named_by_its_bytes(ledger: Ledger, folder: Path) -> None:
    readings.note(folder, "all", "ada", utc_now())
    (file,) = (folder / "readings").iterdir()
    assert file.name == hashlib.sha256(file.read_bytes()).hexdigest() + ".json"


def cosigning(name: str, key: Ed25519PrivateKey) -> CosigningKeys:
    return CosigningKeys(name, key, MLDSA44PrivateKey.from_seed_bytes(name.encode().rjust(32)[-32:]))


@pytest.fixture
def witnessed(ledger: Ledger, folder: Path, key: Ed25519PrivateKey, tmp_path: Path) -> Party:
    """A ledger whose head another party cosigned, and that keeps that one's head and a fork; who the other is."""
    own, other = cosigning(ORIGIN, key), cosigning("spiffe://demo/silo/beta", Ed25519PrivateKey.generate())
    ours, theirs = (Party(keys.name, keys.public().ed25519) for keys in (own, other))
    filled(ledger)
    head = note.checkpoint(ORIGIN, 3, bytes.fromhex(json.loads((folder / "head.json").read_bytes())["root"]), key)
    kept = Watch(tmp_path / "other", other).cosign(ours.uri, ours.identity, head, None, 5)
    Shelf(folder, ours).keep(kept, cosigner.state(other), theirs)
    shown = [note.checkpoint(theirs.uri, 2, bytes([number]) * 32, other.ed25519) for number in (1, 2)]
    Watch(folder, own).cosign(theirs.uri, theirs.identity, shown[0], None, 5)
    (folder / "seen" / "silo-beta.fork").write_text(shown[1])
    return theirs


def test_every_single_damaged_byte_of_a_cosigned_head_is_found(witnessed: Party, folder: Path) -> None:
    seen = examine(folder, None, [witnessed])
    assert (seen.findings, seen.heads, seen.heads_unknown) == ([], 5, 0)
    files = [path for name in ("cosigned", "seen") for path in (folder / name).iterdir()]
    assert len(files) == 5
    for file in files:
        original = file.read_bytes()
        for position in {*range(0, len(original), 31), len(original) - 1}:
            damaged = bytearray(original)
            damaged[position] ^= 1
            file.write_bytes(damaged)
            found = [one.file for one in examine(folder, None, [witnessed]).findings]
            assert found == [f"{file.parent.name}/{file.name}"], position
        file.write_bytes(original)


def test_cosigned_heads_of_who_is_not_known_are_counted_and_no_stranger_holds(witnessed: Party, folder: Path) -> None:
    seen = examine(folder)
    assert (seen.findings, seen.heads, seen.heads_unknown) == ([], 1, 4)  # the statement about its own key is its own
    stranger = Party(witnessed.uri, Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    # The cosigned note is judged by its owner's signature, as its witness's statement is a finding already.
    assert len(examine(folder, None, [stranger]).findings) == 3
    assert not examine(
        folder, None, [stranger, witnessed]
    ).findings  # a party may have had another key in another study


def test_what_does_not_belong_to_cosigned_heads_is_named(witnessed: Party, folder: Path) -> None:
    (folder / "cosigned" / "silo-beta.cosigner").unlink()
    (folder / "seen" / "notes.txt").write_text("x")
    (folder / "seen" / ".silo-beta.note.new").write_text("a write that was stopped")
    found = [one.file for one in examine(folder, None, [witnessed]).findings]
    assert found == ["cosigned/silo-beta.note", "seen/notes.txt"]

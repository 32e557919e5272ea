import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.digest import canonical_json
from privacy.errors import AlreadyRunning, CorruptState, IdentityError, StorageError
from privacy.ledger.entry import make
from privacy.ledger.line import Bodies
from privacy.ledger.reader import root_at
from privacy.ledger.store import Ledger, read
from privacy.ledger.tree import leaf_hash, root

ORIGIN = "spiffe://demo/silo/alpha"
AT = datetime(2026, 3, 1, tzinfo=UTC)


def opened(number: int) -> dict[str, str | int]:
    return {"study_digest": "ab", "round": number}


def filled(ledger: Ledger, count: int = 5) -> None:
    for number in range(count):
        ledger.append("round_opened", opened(number))
    ledger.close()


def lines(folder: Path) -> list[bytes]:
    return (folder / "entries.jsonl").read_bytes().splitlines(keepends=True)


def write(folder: Path, parts: list[bytes]) -> None:
    (folder / "entries.jsonl").write_bytes(b"".join(parts))


def refusal(folder: Path) -> str:
    with pytest.raises(CorruptState) as caught:
        read(folder)
    return caught.value.code


# --- writing -----------------------------------------------------------------


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


@pytest.mark.parametrize("name", ["origin.json", "entries.jsonl", "head.json"])  # version: test_files.py
def test_a_missing_file_is_named(ledger: Ledger, folder: Path, key: Ed25519PrivateKey, name: str) -> None:
    filled(ledger)
    (folder / name).unlink()
    assert refusal(folder) == "ledger.missing"
    with pytest.raises(CorruptState, match=name):
        Ledger.open(folder, key)


# --- tampered twins ----------------------------------------------------------


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


# --- crashes -----------------------------------------------------------------


@pytest.mark.parametrize("torn", [b'{"body":{"round"', b"\x00" * 400, b"\x00" * 40 + b"\n", b"{}\n"])
def test_a_torn_last_line_is_cut_and_recorded(
    ledger: Ledger, folder: Path, key: Ed25519PrivateKey, torn: bytes
) -> None:
    filled(ledger)
    with (folder / "entries.jsonl").open("ab") as file:
        file.write(torn)
    assert read(folder).torn_bytes == len(torn)
    with Ledger.open(folder, key) as again:
        assert [entry.kind for entry in again.entries] == ["round_opened"] * 5 + ["incident"]
        assert again.entries[-1].body["code"] == "ledger.torn_write"
    assert read(folder).torn_bytes == 0


def test_an_entry_that_is_ahead_of_its_head_is_kept(ledger: Ledger, folder: Path, key: Ed25519PrivateKey) -> None:
    # Killed between the two writes: a charge that may have been acted on is never dropped.
    filled(ledger, 4)
    old_head = (folder / "head.json").read_bytes()
    with Ledger.open(folder, key) as again:
        again.append("round_opened", opened(4))
    (folder / "head.json").write_bytes(old_head)
    (folder / ".head.json.new").write_bytes(b"left over")
    assert (read(folder).size, read(folder).acknowledged) == (5, 4)
    with Ledger.open(folder, key) as again:
        assert again.head()[0] == 5
    assert read(folder).acknowledged == 5


CRASH = """
import os, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from privacy.ledger.store import Ledger
folder, calls = Path(sys.argv[1]), int(sys.argv[3])
key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(sys.argv[2]))
ledger = Ledger.open(folder, key)
left = calls
def dying(real, half):
    def call(*arguments):
        global left
        left -= 1
        if left == 0:
            if half:
                real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            os._exit(9)
        return real(*arguments)
    return call
os.write, os.fsync = dying(os.write, True), dying(os.fsync, False)
for number in range(3):
    entry = ledger.append("round_opened", {"study_digest": "ab", "round": number})
    print(entry.sequence, flush=True)
os._exit(0)
"""


def test_killed_at_any_system_call_nothing_acknowledged_is_lost(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    secret = key.private_bytes_raw().hex()
    for calls in range(1, 20):
        folder = tmp_path / str(calls)
        Ledger.create(folder, ORIGIN, key).close()
        done = subprocess.run(
            [sys.executable, "-c", CRASH, str(folder), secret, str(calls)], capture_output=True, text=True, check=False
        )
        acknowledged = len(done.stdout.split())
        with Ledger.open(folder, key) as again:
            rounds = [entry.body["round"] for entry in again.entries if entry.kind == "round_opened"]
        assert rounds[:acknowledged] == list(range(acknowledged))
        assert len(rounds) <= acknowledged + 1
        read(folder)
        if done.returncode == 0:
            break
    assert (done.returncode, acknowledged) == (0, 3), done.stderr


# --- a disk that refuses -----------------------------------------------------


def failing(real: Callable[..., Any], after: int, error: int, *, short: bool = False) -> Callable[..., Any]:
    calls = 0

    def call(handle: int, *data: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(error, os.strerror(error))
        if short and data:
            return real(handle, data[0][:7])
        return real(handle, *data)

    return call


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize(
    ("name", "after", "short"),
    [("write", 0, False), ("write", 3, True), ("write", 1, False), ("fsync", 0, False), ("fsync", 1, False)],
)
def test_a_failed_append_leaves_the_last_whole_entry(
    ledger: Ledger, folder: Path, monkeypatch: pytest.MonkeyPatch, error: int, name: str, after: int, short: bool
) -> None:
    ledger.append("round_opened", opened(0))
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(os, name, failing(getattr(os, name), after, error, short=short))
        with pytest.raises(StorageError) as caught:
            ledger.append("round_opened", opened(1))
    assert os.strerror(error) in str(caught.value)
    assert str(folder) not in str(caught.value)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert len(ledger.entries) == ledger.head()[0] == 1
    ledger.append("round_opened", opened(1))
    assert [entry.body["round"] for entry in read(folder).entries] == [0, 1]


def test_what_cannot_be_cut_at_once_is_cut_later(
    ledger: Ledger, folder: Path, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append("round_opened", opened(0))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing(os.write, 2, errno.EIO, short=True))
        patch.setattr(os, "ftruncate", failing(os.ftruncate, 0, errno.EIO))
        for _ in range(2):
            with pytest.raises(StorageError):
                ledger.append("round_opened", opened(1))
    assert read(folder).torn_bytes == 14
    ledger.append("round_opened", opened(2))
    assert [entry.body["round"] for entry in read(folder).entries] == [0, 2]


def test_an_interrupt_between_entry_and_head_closes_the_ledger(
    ledger: Ledger, folder: Path, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path, data: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("privacy.ledger.disk.replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ledger.append("round_opened", opened(0))
    with pytest.raises(RuntimeError):
        ledger.append("round_opened", opened(0))
    with Ledger.open(folder, key) as again:
        assert again.head()[0] == 1


def test_a_creation_on_a_disk_that_refuses_leaves_no_ledger(
    folder: Path, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(os.fsync, 4, errno.ENOSPC))
        with pytest.raises(StorageError):
            Ledger.create(folder, ORIGIN, key)
    Ledger.create(folder, ORIGIN, key).close()
    assert read(folder).size == 0


FILL = """
import resource, signal, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from privacy.errors import StorageError
from privacy.ledger.store import Ledger
folder, limit = Path(sys.argv[1]), int(sys.argv[2])
key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(sys.argv[3]))
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
ledger = Ledger.create(folder, "spiffe://demo/silo/alpha", key)
written = 0
try:
    while written < 2000:
        ledger.append("round_opened", {"study_digest": "ab", "round": written})
        written += 1
except StorageError as error:
    print(written, error.code, error.exit_code)
"""


def _fill(folder: Path, limit: int, key: Ed25519PrivateKey) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(folder), str(limit), key.private_bytes_raw().hex()],
        capture_output=True,
        text=True,
        check=True,
    )
    written, code, exit_code = done.stdout.split()
    assert (code, exit_code) == ("storage.full", "9")
    verified = read(folder)
    assert [entry.body["round"] for entry in verified.entries] == list(range(int(written)))
    assert (verified.acknowledged, verified.torn_bytes) == (int(written), 0)


def test_a_file_size_limit_ends_in_a_sentence_and_a_whole_ledger(folder: Path, key: Ed25519PrivateKey) -> None:
    _fill(folder, 10_000, key)
    with Ledger.open(folder, key) as again:
        again.append("round_opened", opened(999))


def test_a_full_filesystem_ends_in_a_sentence_and_a_whole_ledger(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small filesystem needs privileges that this user has not")
    try:
        _fill(small / "ledger", 0, key)
    finally:
        subprocess.run(["umount", str(small)], check=True)

"""A ledger whose writer or disk ends an append at any point keeps what was acknowledged, whole."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.errors import StorageError
from privacy.ledger.store import Ledger, read
from tests.privacy.ledger.stored import ORIGIN, filled, opened

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

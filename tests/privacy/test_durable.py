"""A file is the old or the new one, never a part, whatever the disk does; one process holds a state directory."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy import durable
from privacy.errors import AlreadyRunning, StorageError
from privacy.ledger.store import Ledger


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def failing_at(call: int) -> Callable[[int], None]:
    """An fsync that fails the `call`-th time."""
    count = [0]
    real = os.fsync

    def fsync(descriptor: int) -> None:
        count[0] += 1
        if count[0] == call:
            full()
        real(descriptor)

    return fsync


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.write(path, b"old")
    durable.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_mode_can_be_given(tmp_path: Path) -> None:
    durable.write(tmp_path / "file", b"public", mode=0o644)
    assert (tmp_path / "file").stat().st_mode & 0o077 == 0o044 & ~umask()


def umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


@pytest.mark.parametrize("before", [b"old", None])
@pytest.mark.parametrize("module_name", ["os.open", "os.fsync", "os.fdopen", "pathlib.Path.replace"])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module_name: str, before: bytes | None
) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    with monkeypatch.context() as patch:
        patch.setattr(module_name, full)
        with pytest.raises(StorageError) as caught:
            durable.write(path, b"new")
    assert caught.value.code == "storage.full"
    assert caught.value.exit_code == 9
    assert "file" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert (path.read_bytes() if path.exists() else None) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ([] if before is None else ["file"])


def test_a_failing_write_of_the_file_itself_leaves_the_old_one(tmp_path: Path) -> None:
    """A real one: the process may not write more than a kilobyte."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from privacy import durable; from privacy.errors import StorageError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))\n"
        "try: durable.write(Path(sys.argv[1]), bytes(5000))\n"
        "except StorageError as error: print(error.code)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=root, capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "storage.full\n"
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_creating_never_touches_what_is_there(tmp_path: Path) -> None:
    path, target = tmp_path / "key", tmp_path / "elsewhere"
    durable.create(path, b"first")
    with pytest.raises(StorageError):
        durable.create(path, b"second")
    assert path.read_bytes() == b"first"
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(StorageError):
        durable.create(tmp_path / "link", b"through a link")
    assert not target.exists()


def test_what_a_killed_write_left_is_swept_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    kept = {"model", ".hidden", ".lock.0123", "catalogue.0123456789abcdef"}
    for name in kept:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / f".folder.{'0' * 16}").mkdir()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "replace", killed)
        durable.write(tmp_path / "model", b"new")
    assert len(list(tmp_path.iterdir())) == len(kept) + 2
    durable.sweep(tmp_path / "none")
    durable.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept | {f".folder.{'0' * 16}"}


def test_a_half_written_new_file_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing_at(1))
    with pytest.raises(StorageError):
        durable.create(tmp_path / "key", b"secret")
    assert list(tmp_path.iterdir()) == []


def test_a_refused_permission_is_not_called_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(StorageError, match="permissions") as caught:
        durable.write(tmp_path / "file", b"new")
    assert caught.value.code == "storage.failed"


def test_folders_are_private_and_may_exist(tmp_path: Path) -> None:
    durable.make_folder(tmp_path / "a" / "b")
    durable.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        durable.make_folder(tmp_path / "file" / "below")


def test_a_second_holder_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    with durable.lock(tmp_path):
        with pytest.raises(AlreadyRunning) as caught, durable.lock(tmp_path):
            pass
        assert caught.value.exit_code == 10
    with durable.lock(tmp_path):
        pass


def test_a_killed_process_lets_go(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from privacy.durable import lock\n"
    code += "with lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=root, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunning), durable.lock(tmp_path):
            pass
        process.kill()
        process.wait()
    with durable.lock(tmp_path):
        pass


def test_a_folder_that_cannot_be_locked_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError), durable.lock(tmp_path / "missing"):
        pass


@contextmanager
def child_that_lives_on() -> Iterator[None]:
    """A fork of this process that outlives what the test does."""
    pid = os.fork()
    if pid == 0:
        try:
            time.sleep(60)
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_forked_child_keeps_nobody_out(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    Ledger.create(tmp_path / "ledger", "spiffe://c/silo/a", key).close()
    with ExitStack() as children:
        with durable.lock(tmp_path), Ledger.open(tmp_path / "ledger", key) as ledger:
            children.enter_context(child_that_lives_on())
            ledger.append("refused", {"study_digest": "00", "code": "a.b", "reason": "still ours"})
            with pytest.raises(AlreadyRunning):
                Ledger.open(tmp_path / "ledger", key)
        with durable.lock(tmp_path), Ledger.open(tmp_path / "ledger", key) as ledger:
            assert len(ledger.entries) == 1


def test_a_child_that_has_not_come_to_drop_it_keeps_nobody_out(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    childs = os.dup(descriptor)  # as after a fork: the same open file
    durable.hold(descriptor)
    durable.release(descriptor)
    with durable.lock(tmp_path):
        os.close(childs)
        with pytest.raises(AlreadyRunning), durable.lock(tmp_path):
            pass


def test_what_is_destroyed_was_overwritten_before_its_name_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, copy = tmp_path / "key", tmp_path / "same"
    path.write_bytes(b"secret")
    copy.hardlink_to(path)
    durable.destroy(path)
    assert (path.exists(), copy.read_bytes()) == (False, bytes(6))
    path.write_bytes(b"secret")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError):
        durable.destroy(path)
    assert path.exists()

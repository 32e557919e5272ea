"""A copy of an aggregator's state: whole, verified, without keys, and good to go on from."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from aggregator.storage.backup import MANIFEST, back_up, check, note_restored
from aggregator.storage.store import DATABASE
from privacy import durable
from privacy.errors import CollegiumError, ConfigError, StorageError
from privacy.ledger.store import Ledger
from privacy.wire.requests import Phase
from tests import stored
from tests.aggregator.hub import Hub
from tests.aggregator.members import Members
from tests.aggregator.rounds.steps import finish
from tests.aggregator.storage.backups import ALL, NOW, amid, put_back, state_of


@pytest.fixture(scope="module")
def hub(four: Members, tmp_path_factory: pytest.TempPathFactory) -> Hub:
    """Running, with one round that three of four closed and one amid its uploads; it is copied and not changed."""
    return amid(tmp_path_factory.mktemp("running"), four)


@pytest.fixture
def state(hub: Hub, tmp_path: Path) -> Path:
    """Its state directory."""
    return state_of(hub, tmp_path / "state")


@pytest.fixture(scope="module")
def sound(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup, not to be changed."""
    folder = tmp_path_factory.mktemp("sound")
    back_up(state_of(hub, folder / "state"), folder / "copy", NOW)
    return folder / "copy"


def test_a_round_goes_on_from_a_backup_that_was_taken_amid_it(hub: Hub, state: Path, tmp_path: Path) -> None:
    manifest = back_up(state, tmp_path / "copy", NOW)
    assert (manifest.time, manifest.studies) == ("2026-03-01T12:00:00Z", {"trial": 7})
    assert check(tmp_path / "copy") == manifest
    before = stored.content(hub.root / "study"), hub.board(1, Phase.CLOSED), hub.kinds()
    again = put_back(tmp_path / "copy", tmp_path / "again", hub.members)
    assert (stored.content(again.root / "study"), again.board(1, Phase.CLOSED), again.kinds()) == before
    again.upload_all(2, silos=(3, 4))
    again.work()
    finish(again, 2, ALL)
    assert again.kinds() == ["survivors", "closed"] * 2
    assert hub.kinds() == ["survivors", "closed"], "the copied one is not touched"


def test_it_holds_no_key_and_is_private(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    back_up(state, copy, NOW)
    files = [path for path in copy.rglob("*") if path.is_file()]
    assert not [path for path in files if b"secret" in path.read_bytes() or path.suffix == ".key"]
    assert {path.name for path in copy.iterdir()} == {
        *(MANIFEST, "ledger", "studies", "renewals", "newest-roster-statement.json"),
    }
    assert (copy / "renewals" / "pending" / "north.json").exists()
    assert all(path.stat().st_mode & 0o077 == 0 for path in (copy, *copy.rglob("*")))


def spoil(path: Path, at: int = -40) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def older(copy: Path) -> None:
    """Another, sound, database of fewer frames."""
    with closing(sqlite3.connect(copy / "studies/trial" / DATABASE)) as changed, changed:
        changed.execute("DELETE FROM upload_frame WHERE place = 2 AND silo = 1")


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "frame": (lambda copy: spoil(next((copy / "studies/trial/frames").iterdir())), "state.frame"),
    "no frame": (lambda copy: next((copy / "studies/trial/frames").iterdir()).unlink(), "state.frame"),
    "database": (lambda copy: spoil(copy / "studies/trial" / DATABASE, 0), "state.database"),
    "older database": (older, "backup.studies"),
    "no study": (lambda copy: (copy / "studies/trial").rename(copy / "trial"), "backup.studies"),
    "entries": (lambda copy: spoil(copy / "ledger/entries.jsonl"), "ledger."),
    "head": (lambda copy: spoil(copy / "ledger/head.json"), "ledger."),
    "other ledger": (lambda copy: (copy / MANIFEST).write_text(swapped(copy)), "backup.ledger"),
    "no manifest": (lambda copy: (copy / MANIFEST).unlink(), "backup.incomplete"),
    "pipe for the manifest": (lambda copy: piped(copy / MANIFEST), "backup.foreign"),
    "pipe for a database": (lambda copy: piped(copy / "studies/trial" / DATABASE), "backup.foreign"),
    "pipe beside a database": (lambda copy: os.mkfifo(copy / f"studies/trial/{DATABASE}-wal"), "backup.foreign"),
    "pipe for a frame": (lambda copy: piped(next((copy / "studies/trial/frames").iterdir())), "backup.foreign"),
    "pipe for entries": (lambda copy: piped(copy / "ledger/entries.jsonl"), "backup.foreign"),
    "not a manifest": (lambda copy: (copy / MANIFEST).write_text("{}"), "config.invalid"),
}


def swapped(copy: Path) -> str:
    manifest = check(copy)
    return manifest.model_copy(update={"ledger_root": "0" * 64}).model_dump_json()


@pytest.mark.parametrize("name", TAMPERED)
def test_a_backup_that_was_altered_is_found(sound: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(sound, tmp_path / "copy")
    tamper, code = TAMPERED[name]
    tamper(tmp_path / "copy")
    with pytest.raises(CollegiumError) as caught:
        check(tmp_path / "copy")
    assert caught.value.code.startswith(code)


def test_a_copy_that_is_not_what_it_should_be_is_no_backup(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = durable.write

    def spoilt(path: Path, data: bytes) -> None:
        write(path, data[:-1] + b"?" if path.parent.name == "frames" else data)

    monkeypatch.setattr(durable, "write", spoilt)
    with pytest.raises(CollegiumError) as caught:
        back_up(state, tmp_path / "copy", NOW)
    assert caught.value.code == "state.frame"
    assert not (tmp_path / "copy" / MANIFEST).exists()


def test_a_full_disk_leaves_no_backup(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, steps, told = os.fsync, [0], []
    for point in (1, 20, 40):
        steps[0] = 0

        def full(descriptor: int, point: int = point) -> None:
            steps[0] += 1
            if steps[0] == point:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(descriptor)

        copy = tmp_path / f"copy-{point}"
        with monkeypatch.context() as patch, suppress(StorageError):
            patch.setattr(os, "fsync", full)
            back_up(state, copy, NOW)
            told.append(point)
        assert (copy / MANIFEST).exists() == (point in told)
    assert steps[0] > 0
    assert 1 not in told


@pytest.mark.parametrize("there", ["a file", ".hidden"])
def test_a_folder_that_is_not_empty_is_refused(state: Path, tmp_path: Path, there: str) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / there).write_text("mine")
    with pytest.raises(ConfigError) as caught:
        back_up(state, tmp_path / "copy", NOW)
    assert caught.value.code == "backup.not_empty"


def test_a_study_that_was_not_brought_forward_yet_is_refused(state: Path, tmp_path: Path) -> None:
    (state / "studies" / "old" / "rounds").mkdir(parents=True)
    with pytest.raises(ConfigError, match="start 'serve' once"):
        back_up(state, tmp_path / "copy", NOW)


def test_a_state_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no aggregator's state"):
        back_up(tmp_path, tmp_path / "copy", NOW)


def test_the_ledger_says_once_that_a_backup_was_put_back(ledger: Ledger, sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound, tmp_path / "copy")
    note_restored(tmp_path / "copy", ledger)
    note_restored(tmp_path / "copy", ledger)
    (entry,) = ledger.entries
    assert entry.body["code"] == "state.restored"
    assert "2026-03-01T12:00:00Z" in str(entry.body["detail"])
    assert not (tmp_path / "copy" / MANIFEST).exists()

"""A copy of an aggregator's state beside its writer: whole, verified, without keys, and good to go on from."""

import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aggregator.storage import database, frame_files
from aggregator.storage.backup import MANIFEST, back_up, check, note_restored
from aggregator.storage.store import DATABASE
from privacy import durable
from privacy.errors import CollegiumError, ConfigError, StorageError
from privacy.ledger import backup as ledgers
from privacy.ledger import reader
from privacy.ledger.reader import VerifiedLedger
from privacy.ledger.store import Ledger
from privacy.wire.requests import Phase
from tests import stored
from tests.aggregator.hub import Hub
from tests.aggregator.members import Members
from tests.aggregator.rounds.steps import agree, finish
from tests.aggregator.rounds.stopping import Silos

ALL = (1, 2, 3, 4)
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def hub(four: Members, tmp_path_factory: pytest.TempPathFactory) -> Hub:
    """Running, with one round that three of four closed and one amid its uploads; it is copied and not changed."""
    return amid(tmp_path_factory.mktemp("running"), four)


def amid(root: Path, members: Members) -> Hub:
    hub = Hub(root, members)
    hub.upload_all(silos=ALL)
    hub.work()
    agree(hub, 1, ALL)
    for index in ALL[:3]:
        hub.close(index, 1)
    hub.upload_all(2, silos=(1, 2))
    return hub


@pytest.fixture
def state(hub: Hub, tmp_path: Path) -> Path:
    """Its state directory."""
    return state_of(hub, tmp_path / "state")


def state_of(hub: Hub, folder: Path) -> Path:
    (folder / "studies").mkdir(parents=True)
    (folder / "ledger").symlink_to(hub.root / "ledger")
    (folder / "studies" / "trial").symlink_to(hub.root / "study")
    (folder / "identity").mkdir()
    (folder / "identity" / "identity.key").write_bytes(b"secret")
    (folder / "cosigner.key").write_bytes(b"secret")
    (folder / "newest-roster-statement.json").write_text("{}")
    (folder / "renewals" / "pending").mkdir(parents=True)
    (folder / "renewals" / "pending" / "north.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def sound(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup, not to be changed."""
    folder = tmp_path_factory.mktemp("sound")
    back_up(state_of(hub, folder / "state"), folder / "copy", NOW)
    return folder / "copy"


@pytest.fixture
def ledger(four: Members, tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.create(tmp_path / "ledger", four.hub.member.uri, four.hub.keys.identity) as made:
        yield made


def put_back(copy: Path, root: Path, members: Members) -> Hub:
    """An aggregator over what a backup holds."""
    root.mkdir()
    (copy / "ledger").rename(root / "ledger")
    (copy / "studies" / "trial").rename(root / "study")
    return Hub(root, members)


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


def test_frames_that_are_dropped_meanwhile_are_in_neither_part_of_the_copy(
    four: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = amid(tmp_path / "hub", four)
    state = state_of(hub, tmp_path / "state")
    read, calls = frame_files.read, [0]

    def dropping(folder: Path, digest: bytes) -> bytes:
        calls[0] += 1
        if calls[0] == 3:
            hub.close(4, 1)  # the last Close: the round's ciphertext is dropped
        return read(folder, digest)

    monkeypatch.setattr(frame_files, "read", dropping)
    copy = tmp_path / "copy"
    assert back_up(state, copy, NOW).studies == {"trial": 2}
    assert len(list((copy / "studies/trial/frames").iterdir())) == 2
    assert not [name for name in stored.names(copy / "studies/trial") if name.startswith("rounds/000001/sum/")]


def test_a_ledger_is_copied_beside_its_writer(ledger: Ledger, tmp_path: Path) -> None:
    ending = threading.Event()

    def write() -> None:
        while not ending.is_set():
            ledger.append("incident", {"code": "test", "detail": "x" * 100}, details={"who": "somebody"})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        sizes = [ledgers.copy(ledger.folder, tmp_path / f"{number}").size for number in range(5)]
    finally:
        ending.set()
        writer.join()
    assert sizes == sorted(sizes)
    assert [reader.read(tmp_path / f"{number}").size for number in range(5)] == sizes


def test_details_that_are_erased_meanwhile_are_not_in_the_copy(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        ledger.append("incident", {"code": "test", "detail": "x"}, details={"who": "somebody"})
    copy_files, erased = ledgers.copy_files, [0]

    def erasing(folder: Path, target: Path) -> None:
        if not erased[0]:
            ledger.erase_details(0, "asked for", "somebody")
        erased[0] += 1
        copy_files(folder, target)

    monkeypatch.setattr(ledgers, "copy_files", erasing)
    copied = ledgers.copy(ledger.folder, tmp_path / "copy")
    assert [entry.kind for entry in copied.entries] == ["incident", "incident", "details_erased"]
    assert len(list((tmp_path / "copy" / "details").iterdir())) == 1


def spoil(path: Path, at: int = -40) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def older(copy: Path) -> None:
    """Another, sound, database of fewer frames."""
    with closing(sqlite3.connect(copy / "studies/trial" / DATABASE)) as changed, changed:
        changed.execute("DELETE FROM upload_frame WHERE place = 2 AND silo = 1")


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


@pytest.mark.usefixtures("without_fsync")
@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_a_backup_of_any_instant_of_a_round_is_gone_on_from(tmp_path: Path, members: Members, stride: int) -> None:
    """Between any two durable steps: store and ledger of the copy fit, and the round ends with one of each entry."""
    first, copies = Silos(Hub(tmp_path / "hub", members), 1), list[Path]()
    state, steps = state_of(first.hub, tmp_path / "state"), [0]
    commit, append = database.commit, Ledger.append

    def copied_before(step: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any) -> Any:
            steps[0] += 1
            if steps[0] % stride == 0:
                copies.append(tmp_path / f"copy-{steps[0]}")
                back_up(state, copies[-1], NOW)
            return step(*arguments)

        return instead

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "commit", copied_before(commit))
        patch.setattr(Ledger, "append", copied_before(append))
        first.run()
    assert len(copies) * stride > 25
    for copy in copies:
        check(copy)
        silos = Silos(put_back(copy, copy / "again", members), 1)
        silos.sets, silos.signed, silos.frames, silos.unmasks = first.sets, first.signed, first.frames, first.unmasks
        silos.run()
        assert silos.hub.kinds() == ["survivors", "closed"], copy.name
        silos.hub.store.close()
        silos.hub.ledger.close()


def test_what_came_between_the_copies_of_ledger_and_studies_is_entered_at_the_next_start(
    tmp_path: Path, members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    silos, copy_ledger = Silos(Hub(tmp_path / "hub", members), 1), ledgers.copy

    def then_a_round(ledger: Path, target: Path) -> VerifiedLedger:
        copied = copy_ledger(ledger, target)
        silos.run()
        return copied

    monkeypatch.setattr(ledgers, "copy", then_a_round)
    manifest = back_up(state_of(silos.hub, tmp_path / "state"), tmp_path / "copy", NOW)
    assert manifest.ledger_size == 0
    assert put_back(tmp_path / "copy", tmp_path / "again", members).kinds() == ["survivors", "closed"]

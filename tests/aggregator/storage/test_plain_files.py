"""A study's state as earlier versions wrote it, a file for each message, becomes a database; a stop loses neither."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aggregator.storage import database
from aggregator.storage.store import DATABASE, StudyStore
from privacy.channel.envelope import Signed
from privacy.errors import CorruptState, StorageError
from privacy.wire import bodies
from privacy.wire.requests import Phase
from tests import stored
from tests.aggregator.hub import Hub
from tests.aggregator.rounds.steps import finish

OLD = ("keys", "snapshot", "rounds")
SIGNED = bodies.encode_signed(Signed("sign", b"body", "north", b"\1" * 64))
LAYOUT = {
    "keys/request-2": SIGNED,
    "keys/grant-2": SIGNED,
    "snapshot/request-3": SIGNED,
    "snapshot/offer-1": SIGNED,
    "snapshot/sum/frame-0": b"sealed",
    "snapshot/sum/frame-11": b"sealed too",
    "rounds/000001/advertise-10": SIGNED,
    "rounds/000001/survivors": SIGNED,
    "rounds/000001/set-advertised": json.dumps([1, 2, 10]).encode(),
    "rounds/000001/upload-10/header": SIGNED,
    "rounds/000001/upload-10/seeds": b"seeds",
    "rounds/000001/upload-10/frame-0": b"frame",
    "rounds/000001/upload-10/frame-1": b"frame",
    "rounds/000001/sum/frame-0": b"sum",
    "rounds/000002/abandon": SIGNED,
    "rounds/000003/arriving-2/header": SIGNED,
    "rounds/000003/arriving-2/frame-0": b"arrived",
}
"""One of each thing that there may be."""
TORN = ("keys/.request-1.0a", "rounds/000003/arriving-2/.frame-1.0b")


class Killed(BaseException):
    pass


def write_plain(study: Path, layout: dict[str, bytes]) -> None:
    for name, data in layout.items():
        (study / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (study / name).write_bytes(data)
        (study / name).chmod(0o600)


def plain(study: Path) -> dict[str, bytes]:
    """What is there in the old format."""
    files = [path for name in OLD for path in (study / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(study)): path.read_bytes() for path in files}


def made(folder: Path) -> Path:
    write_plain(folder, LAYOUT | dict.fromkeys(TORN, b"half"))
    (folder / "rounds/000004/arriving-1").mkdir(parents=True, mode=0o700)
    return folder


def kept(study: Path) -> dict[str, bytes]:
    return {name: data.encode() if isinstance(data, str) else data for name, data in stored.content(study).items()}


def check_new(study: Path) -> None:
    assert kept(study) == LAYOUT
    assert {path.name for path in study.iterdir() if not path.name.endswith(("-wal", "-shm"))} == {DATABASE, "frames"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in study.rglob("*"))


@contextmanager
def troubled_at(point: int, trouble: Callable[[], BaseException]) -> Iterator[list[int]]:
    """Before the `point`-th thing that changes the disk something happens."""
    steps = [0]

    def counting(step: Callable[..., object]) -> Callable[..., object]:
        def instead(*arguments: object, **named: object) -> object:
            steps[0] += 1
            if steps[0] == point:
                raise trouble()
            return step(*arguments, **named)

        return instead

    with pytest.MonkeyPatch.context() as patch:
        for name in ("link", "fsync", "rmdir", "unlink"):
            patch.setattr(os, name, counting(getattr(os, name)))
        patch.setattr(Path, "rename", counting(Path.rename))
        patch.setattr(database, "commit", counting(database.commit))
        yield steps


def test_all_that_was_kept_in_files_is_in_the_database(tmp_path: Path) -> None:
    study = made(tmp_path / "study")
    store = StudyStore(study)
    check_new(study)
    assert store.round(1).get_set("advertised") == (1, 2, 10)
    assert [silo for silo, _ in store.round(1).uploads()] == [10]
    assert [silo for silo, _ in store.round(3).arriving()] == [2]
    assert store.last_round() == 3
    store.close()
    StudyStore(study).close()
    check_new(study)


STRIDES = [4, pytest.param(1, marks=pytest.mark.slow)]


@pytest.mark.usefixtures("without_fsync")
@pytest.mark.parametrize("stride", STRIDES)
def test_a_kill_at_any_step_leaves_one_of_both_whole(tmp_path: Path, stride: int) -> None:
    with troubled_at(0, Killed) as steps:
        StudyStore(made(tmp_path / "whole")).close()
    before = LAYOUT | dict.fromkeys(TORN, b"half")
    assert steps[0] > 20
    for point in range(1, steps[0] + 1, stride):
        study = made(tmp_path / f"{point}")
        with pytest.raises(Killed), troubled_at(point, Killed):
            StudyStore(study)
        if (study / DATABASE).exists():
            assert kept(study) == LAYOUT
        else:
            assert plain(study) == before
        StudyStore(study).close()
        check_new(study)


@pytest.mark.usefixtures("without_fsync")
@pytest.mark.parametrize("stride", STRIDES)
def test_a_full_disk_at_any_step_is_told_and_leaves_one_of_both_whole(tmp_path: Path, stride: int) -> None:
    def full() -> OSError:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with troubled_at(0, full) as steps:
        StudyStore(made(tmp_path / "whole")).close()
    told = []
    for point in range(1, steps[0] + 1, stride):
        study = made(tmp_path / f"{point}")
        with troubled_at(point, full):
            try:
                StudyStore(study).close()
            except StorageError as error:
                told.append(error.code)
        StudyStore(study).close()
        check_new(study)
    assert told == ["storage.full"] * len(range(1, steps[0] + 1, stride))


@pytest.mark.parametrize("name", ["rounds/first/sign-1", "rounds/000001/Sign 1", "rounds/000001/upload-1/notes"])
def test_what_no_version_stored_is_refused_and_everything_stays(tmp_path: Path, name: str) -> None:
    write_plain(tmp_path, {**LAYOUT, "rounds/000001/upload-1/header": SIGNED, name: b"?"})
    before = plain(tmp_path)
    with pytest.raises(CorruptState) as caught:
        StudyStore(tmp_path)
    assert caught.value.code == "state.foreign"
    assert plain(tmp_path) == before
    assert not (tmp_path / DATABASE).exists()


def test_a_study_goes_on_over_the_change(hub: Hub) -> None:
    """Amid a round: what silos were shown stays, and the round ends."""
    hub.upload_all()
    hub.work()
    finish(hub, 1)
    hub.upload_all(2)
    hub.work()
    hub.sign(1, 2)
    before = [hub.board(2, phase) for phase in (Phase.ADVERTISED, Phase.SHARED, Phase.SURVIVORS)], hub.sum(2)
    hub.store.close()
    hub.ledger.close()
    study = hub.root / "study"
    content = kept(study)
    shutil.rmtree(study)
    write_plain(study, content)
    hub.start()
    assert kept(study) == content
    assert ([hub.board(2, phase) for phase in (Phase.ADVERTISED, Phase.SHARED, Phase.SURVIVORS)], hub.sum(2)) == before
    finish(hub, 2)
    assert hub.kinds() == ["survivors", "closed"] * 2

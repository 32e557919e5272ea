"""The log of what left: on disk before a message goes, whole after a kill, refused where it was altered."""

import os
import stat
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.errors import CorruptState, StorageError
from silo_node.egress.log import EgressLog, Sent, read
from tests import power

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def log(state: Path, full: int = 2**20) -> EgressLog:
    times = iter(START + timedelta(seconds=number) for number in range(10_000))
    return EgressLog(state, "ab" * 32, "cd" * 32, lambda: next(times), full)


def test_what_is_counted_is_read_again(tmp_path: Path) -> None:
    egress = log(tmp_path)
    egress.count("Upload", 1_048_576)
    egress.count("Await", 0)
    egress.close()
    assert list(read(tmp_path)) == [
        Sent(START, "Upload", 1_048_576, "ab" * 32, "cd" * 32),
        Sent(START + timedelta(seconds=1), "Await", 0, "ab" * 32, "cd" * 32),
    ]
    file = tmp_path / "egress" / "000001.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_nothing_is_written_before_the_first_message(tmp_path: Path) -> None:
    log(tmp_path).close()
    assert list(read(tmp_path)) == []
    assert not list(tmp_path.iterdir())


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(0, 2**31), max_size=12), restarts=st.sets(st.integers(0, 12)))
def test_files_are_begun_anew_and_none_is_lost(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], restarts: set[int]
) -> None:
    state = tmp_path_factory.mktemp("state")
    egress = log(state, full=500)
    for number, size in enumerate(sizes):
        if number in restarts:
            egress.close()
            egress = log(state, full=500)
        egress.count("Await", size)
    egress.close()
    assert [sent.size for sent in read(state)] == sizes
    assert all(path.stat().st_size < 1000 for path in (state / "egress").glob("*"))


def test_a_line_that_a_power_cut_left_unfinished_is_passed_over(tmp_path: Path) -> None:
    egress = log(tmp_path)
    egress.count("Upload", 1)
    egress.close()
    file = tmp_path / "egress" / "000001.jsonl"
    file.write_bytes(file.read_bytes() + b'{"time": "2026')
    assert [sent.size for sent in read(tmp_path)] == [1]
    again = log(tmp_path)
    again.count("Upload", 2)
    again.close()
    assert [sent.size for sent in read(tmp_path)] == [1, 2]


@pytest.mark.parametrize(
    "line", [b"{}\n", b'{"bytes": -1}\n', b'{"time":"2026","class":"a","bytes":1,"study":"","approval":""}\n', b"[}\n"]
)
def test_a_line_of_somebody_else_is_refused(tmp_path: Path, line: bytes) -> None:
    egress = log(tmp_path)
    egress.count("Upload", 1)
    egress.close()
    file = tmp_path / "egress" / "000001.jsonl"
    file.write_bytes(line + file.read_bytes())
    with pytest.raises(CorruptState) as caught:
        list(read(tmp_path))
    assert caught.value.code == "egress.altered"


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    egress = log(tmp_path, full=1)
    for _ in range(3):
        egress.count("Upload", 1)
    egress.close()
    (tmp_path / "egress" / "000002.jsonl").unlink()
    with pytest.raises(CorruptState, match="missing"):
        list(read(tmp_path))


@pytest.mark.parametrize("wanted", [stat.S_ISREG, stat.S_ISDIR], ids=["file", "folder"])
def test_a_disk_that_refuses_is_told_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: Callable[[int], bool]
) -> None:
    egress = log(tmp_path, full=1)
    egress.count("Upload", 1)

    def refuse(descriptor: int) -> None:
        if wanted(os.fstat(descriptor).st_mode):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError):
        egress.count("Upload", 2)
    assert egress.totals == {"Upload": 1}


@pytest.mark.parametrize("reached", power.EXTREMES.values(), ids=power.EXTREMES)
def test_what_was_counted_is_there_after_a_power_cut_at_any_instant(reached: power.Reached) -> None:
    def play(at: int) -> int:
        with tempfile.TemporaryDirectory(dir=power.MEMORY) as folder:
            state, survived, counted = Path(folder) / "state", Path(folder) / "survived", 0
            state.mkdir()
            with power.cut(state, survived, at, reached) as disk:
                egress = log(state, full=400)
                for size in range(1, 8):
                    egress.count("Upload", size)
                    counted = size
            egress.close()
            found = [sent.size for sent in read(survived)]
            assert found in (list(range(1, counted + 1)), list(range(1, counted + 2)))
            again = log(survived)
            again.count("Upload", 100)
            again.close()
            assert [sent.size for sent in read(survived)] == [*found, 100]
            return disk.syncs

    assert power.at_every_instant(play) > 7

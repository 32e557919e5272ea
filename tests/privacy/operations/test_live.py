"""The status file: replaced as a whole, private, and its writer told from one that was killed."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from privacy.errors import CorruptState, StorageError
from privacy.operations import live

WRITE_AND_END = (
    "import sys; from pathlib import Path; from privacy.operations.live import LiveFile;"
    "LiveFile(Path(sys.argv[1])).write({'phase': 'waiting'})"
)


def test_what_a_running_process_says(tmp_path: Path) -> None:
    file = live.LiveFile(tmp_path)
    for number in range(3):
        file.write({"round": number})
    found = live.read(tmp_path)
    assert found is not None
    assert (found.said, found.running) == ({"round": 2}, True)
    assert [path.name for path in tmp_path.iterdir()] == [live.FILE]
    assert stat.S_IMODE((tmp_path / live.FILE).stat().st_mode) == 0o600


def test_what_a_killed_process_left_half_written_is_gone_with_the_next_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "replace", killed)
        live.LiveFile(tmp_path).write({"round": 1})
    live.LiveFile(tmp_path).write({"round": 2})
    assert [path.name for path in tmp_path.iterdir()] == [live.FILE]


def test_a_process_that_ended_does_not_run(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", WRITE_AND_END, str(tmp_path)], check=True)
    found = live.read(tmp_path)
    assert found is not None
    assert (found.said, found.running) == ({"phase": "waiting"}, False)


def test_a_number_that_another_process_has_now_does_not_run(tmp_path: Path) -> None:
    file = live.LiveFile(tmp_path)
    file._process["started"] = "1"
    file.write({})
    found = live.read(tmp_path)
    assert found is not None
    assert not found.running


def test_nothing_was_ever_said(tmp_path: Path) -> None:
    assert live.read(tmp_path) is None


@pytest.mark.parametrize("data", [b"", b"{}", b'{"said": 1}', b"[" * 100_000])
def test_a_damaged_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / live.FILE).write_bytes(data)
    with pytest.raises(CorruptState):
        live.read(tmp_path)


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        live.LiveFile(tmp_path / "gone").write({})

"""Nothing that is handed in keeps a reader waiting: pipes, sockets, devices and links are refused at once."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from privacy import regular


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(path.parent)  # the path of a socket may not be long
        server.bind(path.name)


KINDS: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "socket": listening,
    "endless device behind a link": lambda path: path.symlink_to("/dev/zero"),
    "pipe behind a link": lambda path: (os.mkfifo(path.with_name("pipe")), path.symlink_to("pipe")),
    "link": lambda path: (path.with_name("plain").write_bytes(b"x"), path.symlink_to("plain")),
    "folder": Path.mkdir,
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_not_read(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    KINDS[kind](tmp_path / "file")
    with pytest.raises(regular.NotRegularError, match="no regular file"):
        regular.read(tmp_path / "file", 10)


def test_what_becomes_a_pipe_after_it_was_looked_at_is_not_read_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "file")
    (tmp_path / "plain").write_bytes(b"x")
    plain = (tmp_path / "plain").lstat()
    monkeypatch.setattr(Path, "lstat", lambda path: plain)
    with pytest.raises(regular.NotRegularError):
        regular.read(tmp_path / "file")


def test_a_file_is_read_as_far_as_the_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert (regular.read(tmp_path / "file"), regular.read(tmp_path / "file", 2)) == (b"abc", b"ab")
    with pytest.raises(FileNotFoundError):
        regular.read(tmp_path / "none")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "folder"])
def test_a_folder_with_anything_but_files_and_folders_is_refused(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "plain").write_bytes(b"x")
    regular.only(tmp_path, LookupError)
    KINDS[kind](tmp_path / "deep" / "file")
    with pytest.raises(LookupError, match="deep/"):
        regular.only(tmp_path, LookupError)

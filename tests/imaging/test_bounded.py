import os
import tracemalloc

import pytest

from imaging import bounded


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 5000])
def test_a_longer_file_gives_one_byte_more_than_the_limit(tmp_path, size):
    path = tmp_path / "x"
    path.write_bytes(bytes(range(256)) * 20)
    with path.open("r+b") as file:
        file.truncate(size)
    assert bounded.read(path, 100) == path.read_bytes()[:101]


def test_a_small_file_takes_little_memory_whatever_the_limit(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"small")
    tracemalloc.start()
    assert bounded.read(path, 2**31) == b"small"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_not_waited_for(tmp_path, linked):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(OSError, match="no regular file"):
        bounded.read(tmp_path / ("link" if linked else "pipe"), 10)


def test_what_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        bounded.read(tmp_path / "none", 10)

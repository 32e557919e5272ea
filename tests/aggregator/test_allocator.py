import subprocess
import sys

import pytest

from aggregator.allocator import ARENAS

COUNT = """
import ctypes, pathlib, sys, tempfile, threading
from aggregator.allocator import few_arenas
if sys.argv[1] == "few":
    few_arenas()
together = threading.Barrier(12)
def hold():
    held = [bytes(20_000) for _ in range(5)]
    together.wait()
    del held
threads = [threading.Thread(target=hold) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as file:
    stream = libc.fopen(file.name.encode(), b"w")
    libc.malloc_info(0, ctypes.c_void_p(stream))
    libc.fclose(ctypes.c_void_p(stream))
    print(pathlib.Path(file.name).read_text().count("<heap "))
"""


def arenas(how: str) -> int:
    command = [sys.executable, "-c", COUNT, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_many_threads_share_few_arenas() -> None:
    assert arenas("few") <= ARENAS < arenas("many")

"""Waiting while processes live, and ending them."""

import subprocess
import time
from typing import Any


def wait(condition: Any, *alive: "subprocess.Popen[bytes]", patience: float = 400.0, pause: float = 0.02) -> None:
    """Wait until `condition()` holds while all processes live."""
    deadline = time.monotonic() + patience
    while not condition():
        for process in alive:
            assert process.poll() is None, f"a process ended early with {process.returncode}"
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(pause)


def end(*processes: Any) -> None:
    """No process stays, whatever the test did."""
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()

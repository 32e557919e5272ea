"""A command on a terminal of its own, as a person has it."""

import os
import pty
from collections.abc import Mapping, Sequence
from pathlib import Path


def on_a_terminal(
    command: Sequence[str], answers: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """How a command in a folder exits and what it shows; the answers are typed when it asks, which ends in `: `."""
    child, terminal = pty.fork()
    if child == 0:
        try:
            os.chdir(folder)
            os.execvpe(command[0], [*command], dict(os.environ if environment is None else environment))
        finally:
            os._exit(127)
    shown, waiting = b"", list(answers)
    while True:
        try:
            part = os.read(terminal, 1024)
        except OSError:  # its end, on Linux
            break
        if not part:
            break
        shown += part
        if waiting and shown.endswith(b": "):
            os.write(terminal, waiting.pop(0).encode() + b"\n")
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert not waiting, shown
    return os.waitstatus_to_exitcode(status), shown.decode()

"""Processes of our programs that need not import torch again: forked from one that has, the real program from then on.

A program's start costs seconds of processor time, nearly all of it imports; a test with four silos and a restart, or
with commands that are refused, would wait for them and for little else. `python -m tests.e2e.nursery MODULES...`
imports once, then forks a process for each line that it is given, and tells how each ended. It opens no channel, file
or thread itself. When it ends, so do its children.
"""

import ctypes
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from tests.e2e import commands, mortal
from tests.e2e.commands import PATIENCE, Ended
from tests.e2e.mortal import Order

ROOT = Path(__file__).parents[2]
HEAVY = (
    *(
        "torch",
        "torch._dynamo",
        "grpc",
        "tenseal.sealapi",
        "monai.networks.nets",
        "dp_accounting.pld.privacy_loss_distribution",
    ),
    *("silo_node.app", "silo_node.program", "silo_node.learning.learner"),
)
"""For silos that train."""
LIGHT = ("silo_node.app", "silo_node.program", "silo_node.export", "aggregator.app", "deploy.consortium.app")
"""For commands that are refused: what they import before they could train."""
PR_SET_PDEATHSIG = 1


class Forked:
    """A process of the nursery, with what `subprocess.Popen` has that tests need."""

    def __init__(self, nursery: "Nursery", pid: int) -> None:
        self._nursery, self.pid = nursery, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """How it ended, or None."""
        self.returncode = self._nursery.ended.get(self.pid)
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        """How it ended. Raises TimeoutExpired."""
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """A context in which programs can be started that need not import `modules` again."""

    def __init__(self, modules: Sequence[str] = HEAVY) -> None:
        self._modules = modules

    def __enter__(self) -> "Nursery":
        self.ended: dict[int, int] = {}
        self._started: list[int] = []
        self._told = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.nursery", *self._modules],
            cwd=ROOT,
            env=commands.ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(120)

    def run(self, name: str, *arguments: object, patience: float = PATIENCE) -> Ended:
        """Run `collegium-NAME` to its end, as `commands.run` does."""
        with TemporaryDirectory(prefix="collegium-nursery-") as folder:
            log = Path(folder) / "said"
            code = self.start(log, Order(), *arguments, program=name).wait(patience)
            said = [log.with_suffix(end).read_text(encoding="utf-8") for end in (".out", ".err")]
        return Ended((commands.program(f"collegium-{name}"), *(str(argument) for argument in arguments)), code, *said)

    def start(self, log: Path, order: Order, *arguments: object, program: str = "silo") -> Forked:
        """Start `collegium-PROGRAM`; it says what it says to `log`.out and `log`.err."""
        assert self._process.stdin is not None
        words = [program, *(str(argument) for argument in arguments)]
        line = {"log": str(log), "order": order.text(), "words": words}
        print(json.dumps(line), file=self._process.stdin, flush=True)
        with self._told:
            assert self._told.wait_for(lambda: self._started, 300), "the nursery does not answer"
            return Forked(self, self._started.pop())

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            what, pid, *code = line.split()
            with self._told:
                if what == "started":
                    self.ended.pop(int(pid), None)  # of an earlier process: the system gives numbers again
                    self._started.append(int(pid))
                else:
                    self.ended[int(pid)] = int(code[0])
                self._told.notify_all()


def main() -> None:
    """Fork what is asked for, and be it in the child."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    waiting, children = b"", set[int]()
    while True:
        ready, _, _ = select.select([0], [], [], 0.02)
        if ready:
            data = os.read(0, 65536)
            if not data:
                break
            *lines, waiting = (waiting + data).split(b"\n")
            for line in lines:
                asked = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    become(Path(asked["log"]), Order.of(asked["order"]), asked["words"])
                    return
                children.add(pid)
                print("started", pid, flush=True)
        while children and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            children.discard(ended[0])
            print("ended", ended[0], os.waitstatus_to_exitcode(ended[1]), flush=True)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)
    os._exit(0)  # what was imported takes long to take apart, and nothing of it is to be written


def become(log: Path, order: Order, words: Sequence[str]) -> None:
    """Be a program's process, as if it had been started by a shell."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number, (path, flags) in enumerate(
        [(Path(os.devnull), os.O_RDONLY)]
        + [(log.with_suffix(end), os.O_WRONLY | os.O_APPEND | os.O_CREAT) for end in (".out", ".err")]
    ):
        os.dup2(os.open(path, flags, 0o600), number)
    mortal.run(order, words[0], list(words[1:]))


if __name__ == "__main__":
    main()

"""One member's machine: its folder, its disk, its clock, and what its operations do to the process that runs on it."""

import errno
import os
import shutil
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from tests.simulation.operations import Disk, Kill, Leave, Operation, Restore
from tests.simulation.scheduler import Killed, Scheduler

RUNTIME = "runtime"
"""The folder of a round's secrets: memory, so no backup has it."""


@dataclass(eq=False)
class Party:
    """The aggregator's machine (0) or a silo's; `log` tells what was done to it, for whoever reads a failure."""

    number: int
    root: Path
    operations: tuple[Operation, ...]
    scheduler: Scheduler
    log: list[str]
    steps: int = 0
    moved: float = 0.0
    offset: timedelta = timedelta()
    gone: bool = False
    pause: float = 1.0
    _restoring: bool = False
    _rebooting: bool = False
    _refused: int = 0
    _full: bool = True
    _kills: dict[int, Kill] = field(init=False)

    def __post_init__(self) -> None:
        self.root.mkdir()
        self._kills = {op.step: op for op in self.operations if isinstance(op, Kill) and op.party == self.number}
        self._leaves = {op.step for op in self.operations if isinstance(op, Leave) and op.silo == self.number}
        self._disk = {op.step: op for op in self.operations if isinstance(op, Disk) and op.party == self.number}
        self._restores = [op for op in self.operations if isinstance(op, Restore) and op.party == self.number]

    def __str__(self) -> str:
        return f"silo {self.number}" if self.number else "aggregator"

    def say(self, what: str) -> None:
        self.log.append(f"{self.scheduler.now:10.3f} {self}, step {self.steps}: {what}")

    def burn(self, what: str | int) -> None:
        """One more step, at which the process may end; `what` is a sentence, or the descriptor that is synced."""
        self.steps += 1
        for restore in self._restores:
            if restore.copied == self.steps:
                shutil.rmtree(self._backup, ignore_errors=True)
                shutil.copytree(self.root, self._backup, ignore=shutil.ignore_patterns(RUNTIME))
            self._restoring |= restore.step == self.steps and self._backup.exists()
        kill = self._kills.get(self.steps)
        if kill is not None:
            self.pause, self._rebooting = float(kill.after), kill.reboot
        self.gone |= self.steps in self._leaves
        if kill is not None or self._restoring or self.gone:
            self.say(f"killed before it {_told(what)}" + ", an old copy comes back" * self._restoring)
            self.scheduler.kill(self)
            raise Killed(self)

    def fsync(self, what: int | str) -> None:
        """A durable step: a descriptor that is synced, or what else becomes durable. The disk may refuse it."""
        self.burn(what)
        self.moved = self.scheduler.now
        trouble = self._disk.get(self.steps)
        if trouble is not None:
            self._refused, self._full = trouble.writes, trouble.full
        if self._refused:
            self._refused -= 1
            self.say(f"the disk refuses as it {_told(what)}")
            code = errno.ENOSPC if self._full else errno.EIO
            raise OSError(code, os.strerror(code))

    def start_over(self) -> None:
        """What happens to the machine while no process runs on it."""
        if self._restoring:
            shutil.rmtree(self.root)
            self._backup.rename(self.root)
            self._restoring = False
        if self._rebooting:
            shutil.rmtree(self.root / RUNTIME, ignore_errors=True)
            self._rebooting = False

    @property
    def _backup(self) -> Path:
        return self.root.with_name(f"{self.root.name}-backup")


def _told(what: str | int) -> str:
    return what if isinstance(what, str) else f"syncs {Path(f'/proc/self/fd/{what}').readlink().name}"

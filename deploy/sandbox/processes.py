"""Starts our commands as processes, in process groups of their own, and ends every one of them.

A `Processes` is a context: whatever ends it (success, failure, SIGINT, SIGTERM or SIGHUP), no process
it started is left. Single-threaded: the one place that waits is `_poll`.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

from privacy.errors import CollegiumError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 10.0
"""Seconds a process has to end itself before it is killed."""
LAST_WORDS = 12
"""Lines of a failed process that are shown."""


class StepFailed(CollegiumError):
    """A process of the sandbox ended with an error; its last words are in the message."""

    default_code = "sandbox.step_failed"


@dataclass(frozen=True)
class Step:
    """One command to run: a name for people and logs, the program and its arguments."""

    name: str
    program: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Child:
    """A started step; `output` and `errors` are its log files."""

    step: Step
    process: subprocess.Popen[bytes]
    output: Path
    errors: Path


class Processes:
    """All processes of one sandbox run.

    Args:
        programs: folder that holds the commands.
        logs: folder for what they print, readable by the owner only.
        environment: added to this process's own, but for what that sets of the commands for a consortium outside.
    """

    def __init__(self, programs: Path, logs: Path, environment: Mapping[str, str]) -> None:
        self._programs = programs
        self._logs = logs
        ours = {name: value for name, value in os.environ.items() if not name.startswith("COLLEGIUM_")}
        self._environment = {**ours, **environment}
        self._children: list[Child] = []
        self._deferring = False
        self._interrupted = False
        self._handlers: dict[signal.Signals, object] = {}

    def __enter__(self) -> "Processes":
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._handlers = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._deferring = True  # a second interrupt must not cut the ending short
        try:
            self._end_all()
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)  # type: ignore[arg-type] # what signal.signal gave us

    def start(self, step: Step) -> Child:
        """Start a step and return at once."""
        number = len(self._children)
        output, errors = (self._logs / f"{number:02d}-{step.name}.{kind}" for kind in ("out", "err"))
        with self._deferred(), output.open("xb") as out, errors.open("xb") as err:
            process = subprocess.Popen(
                [str(self._programs / step.program), *step.arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self._environment,
                start_new_session=True,
            )
            child = Child(step, process, output, errors)
            self._children.append(child)
        return child

    def run(self, steps: Sequence[Step], *, at_once: int = 2) -> tuple[Child, ...]:
        """Run steps to their end, some at once, in order of start.

        Raises:
            StepFailed: one of them failed; the others go on until the context ends.
        """
        waiting = list(steps)
        running: list[Child] = []
        done: list[Child] = []
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(self.start(waiting.pop(0)))
            self._poll(running)
            done += [child for child in running if child.process.returncode == 0]
            running = [child for child in running if child.process.returncode is None]
        return tuple(sorted(done, key=self._children.index))

    def follow(self, working: Sequence[Child], serving: Sequence[Child], on_tick: Callable[[], None]) -> None:
        """Wait until all of `working` end well while all of `serving` live; `on_tick` runs all along.

        Raises:
            StepFailed: one of them failed, or a server ended before the work.
        """
        while any(child.process.returncode is None for child in working):
            on_tick()
            self._poll([*working, *serving])
            ended = [child for child in serving if child.process.returncode is not None]
            if ended and any(child.process.returncode is None for child in working):
                raise _failure(ended[0])
        on_tick()

    def wait_while(self, waiting: Callable[[], bool], living: Sequence[Child]) -> None:
        """Wait as long as `waiting()` says so while all of `living` live.

        Raises:
            StepFailed: one of them ended.
        """
        while waiting():
            self._poll(living)
            ended = [child for child in living if child.process.returncode is not None]
            if ended:
                raise _failure(ended[0])

    def end(self, child: Child) -> None:
        """Ask one process to end (SIGTERM), and kill it when it does not."""
        with self._deferred():
            _end([child])

    def _poll(self, children: Sequence[Child]) -> None:
        if all(child.process.poll() is None for child in children):
            time.sleep(0.05)
        for child in children:
            if child.process.poll() not in (None, 0):
                raise _failure(child)

    def _end_all(self) -> None:
        _end(self._children)

    @contextmanager
    def _deferred(self) -> Iterator[None]:
        """Hold an interrupt back until what happens inside is complete."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        if self._interrupted:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        if not self._deferring:
            raise KeyboardInterrupt


def _end(children: Sequence[Child]) -> None:
    alive = [child for child in children if child.process.poll() is None]
    for child in alive:
        os.killpg(child.process.pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    for child in alive:
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()


def _failure(child: Child) -> StepFailed:
    code = child.process.returncode
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    words = child.errors.read_text(errors="replace").strip() or child.output.read_text(errors="replace").strip()
    last = "\n".join(f"  {line}" for line in words.splitlines()[-LAST_WORDS:])
    return StepFailed(f"the step '{child.step.name}' ({child.step.program}) {how}; its last words were:\n{last}")

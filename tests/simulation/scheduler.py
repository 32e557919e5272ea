"""A deterministic scheduler: many threads, one of which runs at a time, and virtual time between them.

A task gives its turn back only where it sleeps or waits on a `Condition`; time moves on to the next event when nobody
has a turn. Which task is next depends on the times and the order in which they asked, so a history of operations always
has the same schedule. A task may be within several processes at once (a silo's call is served in its own thread); a
process that is killed is thrown out of every task that is within it.
"""

import heapq
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


class Killed(BaseException):
    """A process is gone; `process` says which."""

    def __init__(self, process: object) -> None:
        super().__init__(str(process))
        self.process = process


class Ended(BaseException):
    """The history is over: every task unwinds."""


def _taken() -> Any:
    """A lock that one thread releases to give another its turn; much quicker than a semaphore."""
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(eq=False)
class Task:
    """One thread of the simulation, and the processes whose code it runs, the innermost last."""

    name: str
    body: Callable[[], None]
    within: list[object] = field(default_factory=list)
    turn: Any = field(default_factory=_taken)
    waiting: int = 0
    thrown: BaseException | None = None
    failure: BaseException | None = None
    over: bool = False


class Scheduler:
    """Runs tasks until none is left, time is up, or nothing can happen any more."""

    def __init__(self) -> None:
        self.now = 0.0
        self.current: Task | None = None
        self.tasks: list[Task] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._returned = _taken()
        self._ending = self._failed = False

    @property
    def acting(self) -> Any:
        """The process whose code runs now; None outside of all."""
        within = self.current.within if self.current else []
        return within[-1] if within else None

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something at a time, between turns."""
        self._sequence += 1
        heapq.heappush(self._events, (max(time, self.now), self._sequence, action))

    def spawn(self, name: str, body: Callable[[], None], start: float = 0.0) -> Task:
        """A new task, whose first turn is at `start`."""
        task = Task(name, body)
        thread = threading.Thread(target=self._run, args=(task,), name=name, daemon=True)
        self.tasks.append(task)
        thread.start()
        self._wake_at(task, start)
        return task

    @contextmanager
    def inside(self, process: object) -> Iterator[None]:
        """What is within runs as this process."""
        task = self._task()
        task.within.append(process)
        try:
            yield
        finally:
            task.within.pop()

    def sleep(self, seconds: float) -> None:
        """Give the turn back for a while."""
        until = self.now + max(0.0, seconds)
        if not self._ending and (not self._events or self._events[0][0] > until):
            self.now = until  # nobody else has anything to do before
            return
        self._wake_at(self._task(), until)
        self.park()

    def park(self) -> None:
        """Give the turn back until woken. Raises what was thrown meanwhile."""
        task = self._task()
        self._returned.release()
        task.turn.acquire()
        self.current = task
        if task.thrown is not None:
            thrown, task.thrown = task.thrown, None
            raise thrown

    def wake(self, task: Task) -> None:
        """Let a parked task have a turn now."""
        self._wake_at(task, self.now)

    def kill(self, process: object) -> None:
        """Throw a process out of every task that waits within it; the one that has the turn throws itself."""
        for task in self.tasks:
            if task is not self.current and not task.over and process in task.within:
                task.thrown = Killed(process)
                self.wake(task)

    def run(self, until: Callable[[], bool]) -> None:
        """Give turns until `until` says so or nothing can happen; then all tasks unwind."""
        while self._events and not self._failed and not until():
            time, _, action = heapq.heappop(self._events)
            self.now = time
            action()
        self._ending = True
        for task in self.tasks:
            while not task.over:
                task.thrown = Ended()
                self._give(task)
        for task in self.tasks:
            if task.failure is not None:
                raise task.failure

    def _task(self) -> Task:
        if self.current is None:
            raise RuntimeError("only a task can wait")
        return self.current

    def _wake_at(self, task: Task, time: float) -> None:
        task.waiting += 1
        ticket = task.waiting

        def wake() -> None:
            if task.waiting == ticket and not task.over:
                self._give(task)

        self.at(time, wake)

    def _give(self, task: Task) -> None:
        task.waiting += 1
        task.turn.release()
        self._returned.acquire()
        self.current = None

    def _run(self, task: Task) -> None:
        task.turn.acquire()
        self.current = task
        try:
            if task.thrown is None:
                task.body()
        except Ended:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again by `run`
            task.failure, self._failed = error, True
        task.over = True
        self._returned.release()


class Condition:
    """`threading.Condition` for tasks. Nobody else runs while one holds it, so it locks nothing."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiting: list[Task] = []
        self.held = 0

    def __enter__(self) -> None:
        self.held += 1

    def __exit__(self, *_: object) -> None:
        self.held -= 1

    def wait(self, timeout: float | None = None) -> None:
        task, before = self._scheduler._task(), self.held
        self._waiting.append(task)
        if timeout is not None:
            self._scheduler._wake_at(task, self._scheduler.now + timeout)
        self.held = 0
        try:
            self._scheduler.park()
        finally:
            self.held = before
            self._waiting.remove(task)

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        end = None if timeout is None else self._scheduler.now + timeout
        while not (reached := predicate()):
            if end is not None and self._scheduler.now >= end:
                return False
            self.wait(None if end is None else end - self._scheduler.now)
        return reached

    def notify_all(self) -> None:
        for task in self._waiting:
            self._scheduler.wake(task)

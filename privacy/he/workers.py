"""Forked workers: the cores of a machine for work that holds Python's lock, in bounded memory.

TenSEAL never releases the lock, so threads gain nothing. A worker is forked, computes the results of
every n-th index into shared memory and ends; it never returns into its parent's program. Nothing is sent to it: it
has what the parent had at the fork, unchanged pages are shared, and its garbage collector is off so that they stay so
(a loaded torch is not duplicated). The parent takes results in order; no worker is more than `ahead` results ahead
of it. SEAL and the system give every process randomness of its own. A worker ends with the thread that forked it,
whatever ended that: it holds secrets, and nobody waits for it any more. Linux only.
"""

import ctypes
import gc
import json
import mmap
import os
import signal
import struct
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from privacy import errors
from privacy.errors import CollegiumError, WorkerFailed

DONE, REFUSED = 0, 1
MESSAGE = struct.Struct("<BQ")
ERROR_BYTES = 4096
"""Least size of a slot, so that it can carry an error instead of a result."""

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal this process gets when the thread that forked it ends."""
_LIBC = ctypes.CDLL(None)

Work = Callable[[int], bytes | bytearray | memoryview | NDArray[np.generic]]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def in_order(work: Work, count: int, size: int, processes: int) -> Iterator[NDArray[np.uint8]]:
    """`work(0) .. work(count - 1)` in order, as bytes that belong to the caller.

    One process means here and now, without a fork.

    Args:
        work: gives the result of an index, at most `size` bytes. It runs in a worker.
        count: results.
        size: bytes of the largest result.
        processes: workers at most.

    Raises:
        CollegiumError: what `work` raised.
        WorkerFailed: a worker failed otherwise or was ended.
    """
    if min(count, processes) <= 1:
        for index in range(count):
            yield _flat(work(index))
        return
    with Workers(work, count, size, processes) as workers:
        for _ in range(count):
            yield workers.take()


class Workers:
    """Workers that started when this was made; a context manager that ends them.

    Args:
        work, count, size, processes: as for `in_order`.
        ahead: results that each worker may hold before the parent takes one.

    Raises:
        WorkerFailed: they cannot be started.
    """

    def __init__(self, work: Work, count: int, size: int, processes: int, ahead: int = 2) -> None:
        self._count, self._taken = count, 0
        self._size, self._ahead = max(size, ERROR_BYTES), ahead
        self._processes = max(1, min(count, processes))
        self._pids: list[int] = []
        self._ends: list[tuple[int, int]] = []
        try:
            self._shared = mmap.mmap(-1, self._size * self._ahead * self._processes)
            for worker in range(self._processes):
                self._start(worker, work)
        except OSError as error:
            self.close()
            raise _ended() from error

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self) -> NDArray[np.uint8]:
        """The next result; waits for it.

        Raises:
            CollegiumError, WorkerFailed: as `in_order`.
            RuntimeError: all were taken, or the workers were ended.
        """
        result = self._result().copy()
        if self._taken - 1 + self._ahead * self._processes < self._count:
            try:
                os.write(self._ends[(self._taken - 1) % self._processes][1], b"\x00")
            except BrokenPipeError as error:
                raise _ended() from error
        return result

    def _result(self) -> NDArray[np.uint8]:
        if self._taken == self._count or not self._ends:
            raise RuntimeError("no result is left")
        worker, turn = self._taken % self._processes, self._taken // self._processes
        message = os.read(self._ends[worker][0], MESSAGE.size)
        if len(message) != MESSAGE.size:
            raise _ended()
        status, used = MESSAGE.unpack(message)
        start = self._slot(worker, turn)
        result = np.frombuffer(self._shared, np.uint8, used, start)
        if status == REFUSED:
            name, text, code = json.loads(result.tobytes())
            kind: type[CollegiumError] = getattr(errors, name)
            raise kind(text, code=code)
        self._taken += 1
        return result

    def take_all(self) -> list[NDArray[np.uint8]]:
        """All results, once, in the memory where the workers put them: nothing is copied. Waits for them.

        Raises:
            CollegiumError, WorkerFailed: as `in_order`.
            RuntimeError: some were taken, the workers were ended, or a worker was not to make all its results ahead.
        """
        if self._taken or self._ahead * self._processes < self._count:
            raise RuntimeError("results stay in place only where there is a place for each")
        return [self._result() for _ in range(self._count)]

    def close(self) -> None:
        """End all workers, at once, and wait for them. Harmless when they are done."""
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
        for pid in self._pids:
            os.waitpid(pid, 0)
        for end in (end for pair in self._ends for end in pair):
            os.close(end)
        self._pids, self._ends = [], []

    def _slot(self, worker: int, turn: int) -> int:
        return (worker * self._ahead + turn % self._ahead) * self._size

    def _start(self, worker: int, work: Work) -> None:
        ready_read, ready_write = os.pipe()
        free_read, free_write = os.pipe()
        self._ends.append((ready_read, free_write))
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            os.close(ready_write)
            os.close(free_read)
            raise
        if pid == 0:
            try:
                _end_with(parent)
                # A worker that held the parent's ends would not notice that the parent is gone.
                for end in (end for pair in self._ends for end in pair):
                    os.close(end)
                gc.disable()
                self._run(worker, work, ready_write, free_read)
            finally:
                os._exit(0)
        self._pids.append(pid)
        os.close(ready_write)
        os.close(free_read)

    def _run(self, worker: int, work: Work, ready: int, free: int) -> None:
        for turn, index in enumerate(range(worker, self._count, self._processes)):
            if turn >= self._ahead and not os.read(free, 1):
                return
            try:
                status, result = DONE, _flat(work(index))
                if result.size > self._size:
                    raise ValueError("a result is larger than its slot")
            except CollegiumError as error:
                status, result = REFUSED, _refusal(error)
            except Exception as error:  # noqa: BLE001 - whatever it was, the parent raises it, typed
                sentence = f"a helper process of this program failed ({type(error).__name__}); start again"
                status, result = REFUSED, _refusal(WorkerFailed(sentence))
            start = self._slot(worker, turn)
            np.frombuffer(self._shared, np.uint8, result.size, start)[:] = result
            os.write(ready, MESSAGE.pack(status, result.size))
            if status == REFUSED:
                return


def _end_with(parent: int) -> None:
    """Have the kernel end this process with the thread that forked it."""
    if _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) or os.getppid() != parent:
        os._exit(1)


def _ended() -> WorkerFailed:
    return WorkerFailed(
        "a helper process of this program could not start or ended before its work was done; look whether the "
        "machine is out of memory, then start again"
    )


def _refusal(error: CollegiumError) -> NDArray[np.uint8]:
    return _flat(json.dumps([type(error).__name__, str(error), error.code]).encode())


def _flat(result: bytes | bytearray | memoryview | NDArray[np.generic]) -> NDArray[np.uint8]:
    if isinstance(result, np.ndarray):
        return np.ascontiguousarray(result).reshape(-1).view(np.uint8)
    return np.frombuffer(result, np.uint8)

"""Workers give every result in order and in bounded memory, and fail with a typed error."""

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from privacy.errors import ProtocolError, WorkerFailed
from privacy.he.workers import ERROR_BYTES, Workers, cores, in_order


def numbered(index: int) -> bytes:
    return index.to_bytes(4, "big") * (index % 5 + 1)


@pytest.mark.parametrize("processes", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_results_come_in_order_whatever_the_workers(processes: int, count: int) -> None:
    results = [result.tobytes() for result in in_order(numbered, count, 20, processes)]
    assert results == [numbered(index) for index in range(count)]


def test_arrays_keep_their_bytes_and_belong_to_the_caller() -> None:
    for processes in (1, 2):
        results = list(in_order(lambda index: np.full((2, 3), index, np.uint64), 6, 48, processes))
        assert [result.view(np.uint64).tolist() for result in results] == [[index] * 6 for index in range(6)]


def test_work_runs_elsewhere_and_one_process_means_here() -> None:
    def whose(_: int) -> bytes:
        return str(os.getpid()).encode()

    assert {result.tobytes() for result in in_order(whose, 3, 20, 1)} == {whose(0)}
    others = {result.tobytes() for result in in_order(whose, 6, 20, 2)}
    assert len(others) == 2
    assert whose(0) not in others


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_ours_arrives_as_it_was_raised(processes: int) -> None:
    def refuses(index: int) -> bytes:
        if index == 3:
            raise ProtocolError("a frame is not in order; send it again", code="protocol.frame_range")
        return numbered(index)

    results = in_order(refuses, 6, 20, processes)
    assert [next(results).tobytes() for _ in range(3)] == [numbered(index) for index in range(3)]
    with pytest.raises(ProtocolError, match="not in order") as caught:
        next(results)
    assert caught.value.code == "protocol.frame_range"


def test_any_other_error_is_a_worker_failure_without_its_text() -> None:
    def fails(index: int) -> bytes:
        raise OSError("/cohort/patient-7")

    with pytest.raises(WorkerFailed, match="OSError") as caught:
        list(in_order(fails, 4, 20, 2))
    assert "patient" not in str(caught.value)


def test_a_result_too_large_for_its_slot_is_a_failure() -> None:
    with pytest.raises(WorkerFailed):
        list(in_order(lambda _: bytes(ERROR_BYTES + 1), 4, 20, 2))


@pytest.mark.parametrize("how", ["killed", "exits"])
def test_a_worker_that_ends_is_a_failure(how: str) -> None:
    def ends(index: int) -> bytes:
        if index == 3:
            if how == "exits":
                sys.exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
        return numbered(index)

    with pytest.raises(WorkerFailed, match="helper process"):
        list(in_order(ends, 6, 20, 2))


@pytest.mark.parametrize("call", ["fork", "pipe"])
def test_workers_that_cannot_start_are_a_failure_that_leaves_nothing(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = getattr(os, call), []

    def fails_the_second_time() -> object:
        calls.append(1)
        if len(calls) == 2:
            raise BlockingIOError("no more processes")
        return real()

    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(os, call, fails_the_second_time)
    with pytest.raises(WorkerFailed, match="could not start"):
        Workers(numbered, 10, 20, 3)
    monkeypatch.undo()
    if call == "fork":
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_worker_that_ended_after_its_result_is_a_failure() -> None:
    with Workers(numbered, 10, 20, 1, ahead=1) as workers:
        time.sleep(0.1)
        os.kill(workers._pids[0], signal.SIGKILL)
        os.waitid(os.P_PID, workers._pids[0], os.WEXITED | os.WNOWAIT)
        with pytest.raises(WorkerFailed):
            workers.take()


def test_no_worker_is_further_ahead_than_it_may(tmp_path: Path) -> None:
    def marks(index: int) -> bytes:
        (tmp_path / str(index)).touch()
        return b""

    with Workers(marks, 100, 1, 2, ahead=3) as workers:
        for taken in (0, 10, 50):
            while workers._taken < taken:
                workers.take()
            time.sleep(0.1)
            assert taken <= len(list(tmp_path.iterdir())) <= taken + 2 * 3


def test_workers_that_are_not_wanted_any_more_are_gone() -> None:
    workers = Workers(lambda _: bytes(time.sleep(60) or 0), 4, 1, 2)
    pids = workers._pids
    workers.close()
    workers.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with pytest.raises(RuntimeError, match="no result is left"):
        workers.take()


def test_workers_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, time\n"
        "from privacy.he.workers import Workers\n"
        "workers = Workers(lambda i: str(os.getpid()).encode(), 100, 20, 2)\n"
        "print(*(int(workers.take().tobytes()) for _ in range(2)), flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    process.kill()
    process.wait()
    process.stdout.close()
    for _ in range(100):
        if not any(_alive(pid) for pid in pids):
            return
        time.sleep(0.05)
    pytest.fail("a worker outlived its parent")


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_systems_randomness_differs_in_every_worker() -> None:
    drawn = {result.tobytes() for result in in_order(lambda _: secrets.token_bytes(32), 40, 32, 4)}
    assert len(drawn) == 40


def test_a_pipe_is_not_left_open() -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    for _ in range(5):
        list(in_order(numbered, 5, 20, 3))
        next(in_order(numbered, 5, 20, 3))
    assert count() == before


def test_cores_are_those_that_may_be_used() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)


PARENT = """
import sys, time
from privacy.he.workers import Workers
workers = Workers(lambda _: time.sleep(60) or b"", 2, 1, 2)
print(*workers._pids, flush=True)
time.sleep(60)
"""


def test_workers_end_with_a_parent_that_is_killed() -> None:
    root = Path(__file__).parents[3]
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=root, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2
        assert all(alive(pid) for pid in workers)
        parent.kill()
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_all_results_stay_where_the_workers_put_them() -> None:
    for processes in (1, 3, 9):
        with Workers(numbered, 7, 20, processes, ahead=7) as workers:
            results = workers.take_all()
            with pytest.raises(RuntimeError, match="in place"):
                workers.take_all()
        assert [result.tobytes() for result in results] == [numbered(index) for index in range(7)]
        assert not any(result.flags.owndata for result in results)
    with Workers(numbered, 7, 20, 2, ahead=3) as workers, pytest.raises(RuntimeError, match="in place"):
        workers.take_all()

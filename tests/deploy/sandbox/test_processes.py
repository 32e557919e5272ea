import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.sandbox.processes import Processes, Step, StepFailed

STUB = """#!{python}
import os, signal, sys, time
pathlib = __import__("pathlib")
what = sys.argv[1]
if what == "say":
    print(sys.argv[2])
elif what == "fail":
    print("first line", file=sys.stderr)
    print("the disk is full [storage.failed]", file=sys.stderr)
    sys.exit(9)
elif what in ("sleep", "stubborn"):
    if what == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pathlib.Path(sys.argv[2]).write_text(str(os.getpid()))
    time.sleep(60)
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    stub = folder / "stub"
    stub.write_text(STUB.format(python=sys.executable))
    stub.chmod(0o755)
    return folder


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def started(path: Path) -> int:
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, "the stub did not start"
        time.sleep(0.02)
    return int(path.read_text())


def test_steps_run_and_their_output_is_kept(programs: Path, tmp_path: Path) -> None:
    with Processes(programs, tmp_path / "logs", {}) as processes:
        children = processes.run([Step(f"say-{word}", "stub", ("say", word)) for word in ("one", "two", "three")])
    assert [child.output.read_text() for child in children] == ["one\n", "two\n", "three\n"]


def test_what_is_set_for_a_real_consortium_is_not_the_sandboxs(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLEGIUM_PASSPHRASE_FILE", "passphrase.txt")
    monkeypatch.setenv("PLAIN", "kept")
    (programs / "env").symlink_to("/usr/bin/env")
    with Processes(programs, tmp_path / "logs", {"MORE": "added"}) as processes:
        (child,) = processes.run([Step("env", "env", ())])
    said = child.output.read_text().splitlines()
    assert {"PLAIN=kept", "MORE=added"} <= set(said)
    assert not any(line.startswith("COLLEGIUM_") for line in said)


def test_a_failing_step_ends_the_others_and_its_last_words_are_shown(programs: Path, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with (
        pytest.raises(StepFailed, match=r"(?s)'bad'.*exit code 9.*the disk is full") as caught,
        Processes(programs, tmp_path / "logs", {}) as processes,
    ):
        processes.start(Step("long", "stub", ("sleep", str(pid_file))))
        pid = started(pid_file)
        processes.run([Step("bad", "stub", ("fail",))])
    assert caught.value.exit_code == 1
    assert not alive(pid)


def test_a_server_that_ends_early_is_a_failure(programs: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(StepFailed, match="'server'"),
        Processes(programs, tmp_path / "logs", {}) as processes,
    ):
        working = processes.start(Step("work", "stub", ("sleep", str(tmp_path / "pid"))))
        server = processes.start(Step("server", "stub", ("say", "bye")))
        processes.follow([working], [server], lambda: None)


def test_a_process_that_ignores_the_end_is_killed(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.sandbox.processes.PATIENCE", 0.2)
    pid_file = tmp_path / "pid"
    with Processes(programs, tmp_path / "logs", {}) as processes:
        processes.start(Step("stubborn", "stub", ("stubborn", str(pid_file))))
        pid = started(pid_file)
    assert not alive(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_leaves_no_process(programs: Path, tmp_path: Path, number: signal.Signals) -> None:
    script = f"""
from pathlib import Path
from deploy.sandbox.processes import Processes, Step
with Processes(Path({str(programs)!r}), Path({str(tmp_path / "logs")!r}), {{}}) as processes:
    processes.run([Step(name, "stub", ("sleep", {str(tmp_path)!r} + "/" + name)) for name in ("a", "b")])
"""
    sandbox = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, start_new_session=True)
    pids = [started(tmp_path / name) for name in ("a", "b")]
    sandbox.send_signal(number)
    _, errors = sandbox.communicate(timeout=20)
    assert b"KeyboardInterrupt" in errors
    assert not any(alive(pid) for pid in pids)


def test_handlers_are_put_back(programs: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Processes(programs, tmp_path / "logs", {}):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before

"""Processes in each other's way, peers and files that are not there: a sentence that says what to do, and its code."""

import socket
import time
from pathlib import Path

import pytest
import yaml

from privacy.errors import (
    AlreadyRunning,
    ConfigError,
    StorageError,
    Unreachable,
)
from tests.e2e import commands
from tests.e2e.processes import end, wait
from tests.e2e.refused import NORTH, approve, serve, take_part
from tests.e2e.scene import Copied, Scene
from tests.e2e.state_folders import kinds

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("quick")]


def test_one_process_at_a_time_on_a_state_directory(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    first = scene.start_silo(NORTH, 1, patience=60)
    try:
        wait(lambda: scene.progress(NORTH), first)
        take_part(scene).refused(AlreadyRunning, "state.locked", "stop it first")
        approve(scene).refused(AlreadyRunning, "state.locked", "stop it first")
        ingest = ("ingest", *scene.archive(NORTH), "--cohort", "again", "--state", scene.state(NORTH))
        commands.run("silo", *ingest).refused(AlreadyRunning, "state.locked", "stop it first")
        assert first.poll() is None
        assert not (scene.state(NORTH) / "cohorts" / "again").exists()
    finally:
        end(first)
    # The kernel gave the lock back; no file has to be removed by hand.
    ended = commands.run("silo", "export", "--state", scene.state(NORTH), "-o", scene.model(NORTH))
    assert ended.code != AlreadyRunning.exit_code
    assert ended.err.count("\n") == 1


def test_one_aggregator_at_a_time_on_a_state_directory_and_port(founded: Scene, copied: Copied) -> None:
    scene, other = copied(founded), copied(founded)
    with scene.serving() as server:
        serve(scene).refused(AlreadyRunning, "state.locked", "stop it first")
        serve(other, listen=f"127.0.0.1:{server.port}").refused(
            ConfigError, "config.address", "stop the process that holds it or choose another address"
        )


@pytest.mark.slow
def test_an_aggregator_that_is_not_reachable_is_said_so(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    before = kinds(scene.entries(NORTH))
    began = time.monotonic()
    take_part(scene).refused(Unreachable, "peer.unreachable", "start the aggregator, or check the port")
    assert time.monotonic() - began < 120
    assert kinds(scene.entries(NORTH)) == [*before, "software"]  # no key is made, nothing is reserved or read


@pytest.mark.slow
def test_something_else_at_the_aggregators_address_is_said_so(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = take_part(scene, listener.getsockname()[1])
    assert ended.code == Unreachable.exit_code
    assert ended.err.count("error: ") == 1
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("silo", ("run", "--state", "nowhere", "--aggregator", "localhost:1")),
        ("silo", ("export", "--state", "nowhere", "-o", "model")),
        ("silo", ("ingest", "nowhere", "--labels", "none.csv", "--cohort", "chest", "--state", "nowhere")),
        ("silo", ("enrol", "none.json", "--state", "nowhere")),
        ("aggregator", ("serve", "--state", "nowhere", "--study", "none.yaml", "--listen", "127.0.0.1:0")),
        ("consortium", ("admit", "none.json", "--dir", "nowhere", "-o", "admission.json")),
        ("consortium", ("study", "explain", "none.yaml")),
        ("consortium", ("study", "sign", "none.yaml", "--dir", "nowhere", "-o", "study.yaml")),
        ("compliance", ("report", "nowhere", "-o", "report")),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(program: str, arguments: tuple[str, ...]) -> None:
    ended = commands.run(program, *arguments)
    assert ended.code in {2, 6, 8}, ended
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1


def test_files_that_cannot_be_written_are_said_in_one_sentence(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    nowhere = scene.root / "nowhere" / "file"
    run = ("run", "--state", scene.state(NORTH), "--aggregator", "localhost:1", "--progress-json", nowhere)
    commands.run("silo", *run).refused(StorageError, "storage.failed", "cannot write file")
    port = ("--listen", "127.0.0.1:0", "--port-file", nowhere)
    ended = commands.run("aggregator", "serve", "--state", scene.aggregator, "--study", scene.study, *port, patience=60)
    ended.refused(StorageError, "storage.failed", "cannot write file")


def test_an_unfinished_study_is_not_exported(approved: Scene, tmp_path: Path) -> None:
    ended = commands.run("silo", "export", "--state", approved.state(NORTH), "-o", tmp_path / "model")
    ended.refused(ConfigError, "export.unfinished", "run it to its end first")
    assert not (tmp_path / "model").exists()


def test_a_policy_with_an_unknown_key_is_named_with_its_line(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    policy = scene.state(NORTH) / "silo.yaml"
    content = yaml.safe_load(policy.read_text())
    content["policy"]["allow_everything"] = True
    policy.write_text(yaml.safe_dump(content))
    line = policy.read_text().splitlines().index("  allow_everything: true") + 1
    take_part(scene).refused(ConfigError, "config.invalid", f"silo.yaml line {line}: unknown key")

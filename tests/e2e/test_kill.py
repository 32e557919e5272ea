"""Processes are killed amid a study: it goes on, or a round is abandoned and recorded; no budget comes back."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from privacy.errors import PolicyRefused, RoundAbandoned
from privacy.ledger import reader
from privacy.ledger.budgets.budget import charged
from silo_node.rounds.global_model import GlobalModel
from tests.e2e import commands
from tests.e2e.conftest import made_once
from tests.e2e.processes import end, wait
from tests.e2e.scene import COHORT, SILOS, STUDY, Scene
from tests.e2e.state_folders import kinds, ledger, leftovers
from tests.stored import anywhere

pytestmark = pytest.mark.timeout(1500)
LOCAL_STEPS = 40
"""So that there is time to kill a silo while it trains."""
MOMENTS = ("keys/request-*", "rounds/000001/upload-*", "rounds/000002/survivors", "rounds/000003/sign-*")
"""When the aggregator is killed: once one of these is stored."""
SLOWEST = 600.0
"""Seconds in which what only the machine can hold up is done: a start alone takes minutes where much else runs."""


@pytest.fixture(scope="session")
def restless(founded: Scene, shared: Path) -> Scene:
    """An approved study of three rounds whose deadlines are short. Not to be changed."""

    def build(folder: Path) -> None:
        scene = founded.copy(folder)
        scene.sign(
            scene.study,
            training={"rounds": 3, "local_steps": LOCAL_STEPS},
            aggregation={"round_deadline_seconds": 15},
            privacy={"noise_multiplier": 12.0},
        )
        scene.approve_all()

    return made_once(shared, "restless", build)


@contextmanager
def ended(processes: "dict[str, subprocess.Popen[bytes]]") -> Iterator[None]:
    """No process stays."""
    try:
        yield
    finally:
        end(*processes.values())


def words(scene: Scene, silo: str) -> str:
    return scene.log(silo).with_suffix(".err").read_text()


def models(scene: Scene) -> list[GlobalModel]:
    return [GlobalModel.load(scene.state(silo) / "studies" / STUDY / "model") for silo in SILOS]


def check_one_end(scene: Scene, rounds: int) -> None:
    """All silos have one model and one chain; nothing half-written is left."""
    first, *others = models(scene)
    assert first.round_number == rounds
    for model in others:
        assert (model.round_number, model.chain) == (rounds, first.chain)
        assert model.optimizer.weights.tobytes() == first.optimizer.weights.tobytes()
    for state in (*(scene.state(silo) for silo in SILOS), scene.aggregator):
        assert leftovers(state) == []
        ledger(state)


@pytest.mark.slow
def test_a_silo_killed_in_training_costs_a_round_and_its_budget_and_no_more(restless: Scene, tmp_path: Path) -> None:
    scene = restless.copy(tmp_path / "scene")
    victim = SILOS[2]
    silos: dict[str, subprocess.Popen[bytes]] = {}
    with scene.serving() as server, ended(silos):
        silos |= {name: scene.start_silo(name, server.port) for name in SILOS}
        wait(lambda: training(scene, victim, 2), *silos.values(), pause=0.002)
        silos[victim].send_signal(signal.SIGSTOP)
        before = reader.read(scene.state(victim) / "ledger").entries
        assert before[-1].kind == "reserved", "the silo was too quick for this test"
        silos[victim].kill()
        silos[victim].wait()
        silos[victim] = scene.start_silo(victim, server.port)
        finish(scene, silos, server.port)
    after = scene.entries(victim)
    assert after[: len(before)] == before
    assert [entry.body["round"] for entry in after if entry.kind == "reserved"].count(2) == 1
    assert [entry.body["round"] for entry in after if entry.kind == "spent"].count(2) == 0
    for silo in SILOS:
        entries = scene.entries(silo)
        outcomes = {entry.body["round"]: entry.body["outcome"] for entry in entries if entry.kind == "closed"}
        assert outcomes[1] == "closed"
        assert outcomes[2] == "abandoned"
        incidents = [entry.body for entry in entries if entry.kind == "incident"]
        assert any(body["code"] == "round.abandoned" and "round 2" in str(body["detail"]) for body in incidents)
        reserved = sum(entry.kind == "reserved" for entry in entries)
        assert [event.steps for event in charged(entries, COHORT)] == [reserved * LOCAL_STEPS]
        assert reserved >= 2  # round 2 is charged although it gave nothing
    hub = {entry.body["round"]: entry.body["outcome"] for entry in ledger(scene.aggregator) if entry.kind == "closed"}
    assert hub[2] == "abandoned"
    check_one_end(scene, rounds=4)


@pytest.mark.slow
def test_a_silo_that_lost_its_study_goes_on_after_a_new_approval(restless: Scene, tmp_path: Path) -> None:
    """Only identity, cohort and ledger came back from the backup: key and model come from the other hospitals."""
    scene = restless.copy(tmp_path / "scene")
    victim = SILOS[0]  # the steward, who must not make a second key
    silos: dict[str, subprocess.Popen[bytes]] = {}
    with scene.serving() as server, ended(silos):
        silos |= {name: scene.start_silo(name, server.port) for name in SILOS}
        wait(lambda: training(scene, victim, 2), *silos.values(), pause=0.002)
        silos[victim].kill()
        silos[victim].wait()
        folder = scene.state(victim) / "studies" / STUDY
        key = (folder / "key").read_bytes()
        shutil.rmtree(folder)
        run = ("run", "--state", scene.state(victim), "--aggregator", "localhost:1")
        assert commands.run("silo", *run).code == PolicyRefused.exit_code
        scene.well("silo", *scene.approve_arguments(victim))
        silos[victim] = scene.start_silo(victim, server.port)
        finish(scene, silos, server.port)
    assert (folder / "key").read_bytes() == key
    entries = scene.entries(victim)
    assert [entry.body["round"] for entry in entries if entry.kind == "snapshot_taken"] == [1]
    assert kinds(entries).count("key_granted") == 1
    reserved = [entry.body["round"] for entry in entries if entry.kind == "reserved"]
    assert reserved == sorted(set(reserved)), "a round that was paid for is never paid for or trained again"
    assert [event.steps for event in charged(entries, COHORT)] == [len(reserved) * LOCAL_STEPS]
    check_one_end(scene, rounds=4)


def training(scene: Scene, silo: str, number: int) -> bool:
    return any((event["round"], event.get("phase")) == (number, "training") for event in scene.progress(silo))


def finish(scene: Scene, silos: "dict[str, subprocess.Popen[bytes]]", port: int) -> None:
    """Wait for all silos; one that paused after two abandoned rounds is started again, as a person would."""
    deadline = time.monotonic() + SLOWEST
    while silos and time.monotonic() < deadline:
        for name, process in list(silos.items()):
            code = process.poll()
            if code == RoundAbandoned.exit_code:
                silos[name] = scene.start_silo(name, port)
            elif code is not None:
                assert code == 0, words(scene, name)
                del silos[name]
        time.sleep(0.1)
    assert not silos, {name: scene.progress(name)[-1] for name in silos}


@pytest.mark.slow
def test_an_aggregator_killed_in_the_middle_of_rounds_is_taken_up_again(approved: Scene, tmp_path: Path) -> None:
    scene = approved.copy(tmp_path / "scene")
    silos: dict[str, subprocess.Popen[bytes]] = {}
    server = scene.serve()
    try:
        with ended(silos):
            silos |= {name: scene.start_silo(name, server.port) for name in SILOS}
            for moment in MOMENTS:
                wait(lambda moment=moment: anywhere(scene.aggregator, moment), server.process)
                server.process.kill()
                server.process.wait()
                server = scene.serve(port=server.port)
            finish(scene, silos, server.port)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(SLOWEST) == 0
    finally:
        end(server.process)
    check_one_end(scene, rounds=3)
    for silo in SILOS:
        entries = scene.entries(silo)
        assert [entry.body["outcome"] for entry in entries if entry.kind == "closed"] == ["closed"] * 3
        assert kinds(entries).count("reserved") == kinds(entries).count("spent") == 2
    hub = ledger(scene.aggregator)
    assert kinds(hub).count("study_published") == 1
    assert [entry.body["outcome"] for entry in hub if entry.kind == "closed"] == ["closed"] * 3
    assert kinds(hub).count("survivors") == 3


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, -signal.SIGTERM)],
)
def test_a_silo_that_is_stopped_ends_at_once(
    number: signal.Signals, code: int, approved: Scene, tmp_path: Path
) -> None:
    scene = approved.copy(tmp_path / "scene")
    silo = SILOS[0]
    # What runs in the background of a script ignores SIGINT, and so would the silo: a handler is not inherited.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = scene.start_silo(silo, 1)
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        wait(lambda: any(event.get("phase") == "asking witnesses" for event in scene.progress(silo)), process)
        time.sleep(0.5)
        process.send_signal(number)
        assert process.wait(60) == code
    finally:
        end(process)
    assert "Traceback" not in words(scene, silo)
    assert kinds(scene.entries(silo))[-2:] == ["approved", "software"]
    assert leftovers(scene.state(silo)) == []

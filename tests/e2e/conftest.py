"""One small consortium for all tests of the commands, made once for all workers; tests that change it copy it."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import commands
from tests.e2e.commands import Ended
from tests.e2e.mortal import Order
from tests.e2e.nursery import LIGHT, Forked, Nursery
from tests.e2e.processes import end
from tests.e2e.relay import Relay
from tests.e2e.scene import SILOS, Copied, Scene
from tests.e2e.state_folders import ledger, leftovers


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of the shared consortium go to one worker (`--dist loadgroup`): another would wait until it is made."""
    for item in items:
        if "shared" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("consortium"))


def made_once(base: Path, name: str, build: Callable[[Path], None], silos: tuple[str, ...] = SILOS) -> Scene:
    """The folder `name` of `base`, built by the first worker that comes."""
    folder, done = base / name, base / f"{name}.done"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            build(folder)
            done.touch()
    return Scene(folder, silos)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "e2e"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def founded(shared: Path) -> Scene:
    """Enrolled members with cohorts, and a signed study that nobody has approved. Not to be changed."""

    def build(folder: Path) -> None:
        scene = Scene(folder)
        scene.found()
        scene.sign(scene.study)

    return made_once(shared, "founded", build)


@pytest.fixture(scope="session")
def approved(founded: Scene, shared: Path) -> Scene:
    """The study is approved everywhere and has not begun. Not to be changed."""
    return made_once(shared, "approved", lambda folder: founded.copy(folder).approve_all())


@pytest.fixture(scope="session")
def finished(approved: Scene, shared: Path) -> Scene:
    """The study was run, with every byte of the line in `wire`, exported and reported on. Not to be changed."""

    def build(folder: Path) -> None:
        scene = approved.copy(folder)
        with scene.serving() as server, Relay(server.port) as relay:
            silos = [scene.start_silo(name, relay.port) for name in SILOS[:-1]]
            silos.append(scene.start_silo(SILOS[-1], relay.port, 60, "--log-json"))
            try:
                codes = [silo.wait(150) for silo in silos]
            finally:
                end(*silos)
            (folder / "wire").write_bytes(relay.seen)
        words = [scene.log(name).with_suffix(".err").read_text() for name in SILOS]
        assert codes == [0, 0, 0], words
        scene.export(SILOS[0])
        scene.well("compliance", "report", folder, "-o", folder / "report", "--json")
        scene.well("compliance", "verify", folder / "report", "--json")

    return made_once(shared, "finished", build)


FOUR = (*SILOS, "lake")


@pytest.fixture(scope="session")
def four(shared: Path) -> Scene:
    """Four hospitals, of which three suffice, with cohorts and no study. Not to be changed."""
    return made_once(shared, "four", lambda folder: Scene(folder, FOUR).found(), FOUR)


@pytest.fixture(scope="session")
def hasty(four: Scene, shared: Path) -> Scene:
    """An approved study of the four that goes on soon without one that is missing. Not to be changed."""

    def build(folder: Path) -> None:
        scene = four.copy(folder)
        scene.sign(
            scene.study,
            roster={"silos": list(FOUR)},
            aggregation={"round_deadline_seconds": 8, "exchange_seconds": 8},
        )
        scene.approve_all()

    return made_once(shared, "hasty", build, FOUR)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as started:
        yield started


@pytest.fixture(scope="session")
def light() -> Iterator[Nursery]:
    with Nursery(LIGHT) as started:
        yield started


@pytest.fixture
def quick(light: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """This test's commands are forked from a nursery; whole studies, and `test_commands`, start them as installed."""
    installed = commands.run

    def run(name: str, *arguments: object, patience: float = commands.PATIENCE, **wrapped: Any) -> Ended:
        if any(wrapped.values()):
            return installed(name, *arguments, patience=patience, **wrapped)
        return light.run(name, *arguments, patience=patience)

    def start(log: Path, name: str, *arguments: object) -> Forked:
        return light.start(log, Order(), *arguments, program=name)

    monkeypatch.setattr(commands, "run", run)
    monkeypatch.setattr(commands, "start", start)


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[Copied]:
    """A scene of the test's own; afterwards nothing half-written may be in it, and its ledgers must verify."""
    made: list[Scene] = []

    def copy(scene: Scene) -> Scene:
        made.append(scene.copy(tmp_path / f"scene-{len(made)}"))
        return made[-1]

    yield copy
    for scene in made:
        for state in (*(scene.state(silo) for silo in SILOS), scene.aggregator):
            assert leftovers(state) == []
            if (state / "ledger" / "origin.json").exists():
                ledger(state)

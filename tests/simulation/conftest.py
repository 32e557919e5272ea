"""Fixtures of the simulator: enrolled members, and a way to play one history."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.simulation.consortium import Cast
from tests.simulation.invariants import broken
from tests.simulation.operations import Operation
from tests.simulation.world import World

MEMORY = Path("/dev/shm")  # what a history writes is read by nobody else

Play = Callable[[tuple[Operation, ...]], World]
"""Plays a history and fails with all that does not hold and what happened."""


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="collegium-simulation-", dir=MEMORY if MEMORY.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def stage(memory: Path) -> Callable[[int, int], Play]:
    """A way to play histories of so many silos and rounds that train."""
    casts: dict[tuple[int, int], Cast] = {}

    def of(silos: int, rounds: int) -> Play:
        if (silos, rounds) not in casts:
            casts[silos, rounds] = Cast.enrol(Path(tempfile.mkdtemp(dir=memory)), silos, rounds)

        def play(operations: tuple[Operation, ...]) -> World:
            folder = Path(tempfile.mkdtemp(dir=memory))
            try:
                world = World(folder, casts[silos, rounds], operations)
                world.run()
                found = broken(world)
                assert not found, "\n".join([*found, "what happened:", *world.log])
            finally:
                shutil.rmtree(folder)
            return world

        return play

    return of

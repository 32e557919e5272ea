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
Stage = Callable[..., Play]


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="collegium-simulation-", dir=MEMORY if MEMORY.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def stage(memory: Path) -> Stage:
    """A way to play histories of so many silos and rounds that train, with cosigning and an upload slot or without."""
    casts: dict[tuple[int, int, bool, int], Cast] = {}

    def of(silos: int, rounds: int, cosigning: bool = False, slot: int = 0) -> Play:
        size = (silos, rounds, cosigning, slot)
        if size not in casts:
            casts[size] = Cast.enrol(Path(tempfile.mkdtemp(dir=memory)), *size)

        def play(operations: tuple[Operation, ...]) -> World:
            folder = Path(tempfile.mkdtemp(dir=memory))
            try:
                world = World(folder, casts[size], operations)
                world.run()
                found = broken(world)
                assert not found, "\n".join([*found, "what happened:", *world.log])
            finally:
                shutil.rmtree(folder)
            return world

        return play

    return of

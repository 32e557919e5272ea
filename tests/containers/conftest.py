"""The images and the engine of `make container-test`; elsewhere these tests are left out."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.engine import Engine
from tests.docs.pages import ROOT

CACHE = os.environ.get("COLLEGIUM_CONTAINER_CACHE")
CONTEXT = ROOT / "deploy" / "containers"
IMAGES = ("collegium-aggregator", "collegium-silo")
collect_ignore = [] if CACHE and shutil.which("buildah") else ["test_images.py", "test_release.py", "test_study.py"]


class Table:
    """What was measured, printed at the end."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str]] = []

    def add(self, what: str, found: str, seconds: float | None = None) -> None:
        self._rows.append((what, found, "" if seconds is None else f"{seconds:.0f} s"))

    def show(self) -> None:
        wide = max((len(what) for what, _, _ in self._rows), default=0)
        print("\n" + "\n".join(f"{what:<{wide}}  {found:<56} {seconds}" for what, found, seconds in self._rows))


@pytest.fixture(scope="session")
def table() -> Iterator[Table]:
    made = Table()
    yield made
    made.show()


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The context of the build: this repository's folder with a wheelhouse."""
    made = tmp_path_factory.mktemp("context")
    shutil.copytree(CONTEXT, made, dirs_exist_ok=True, ignore=shutil.ignore_patterns("wheelhouse", "__pycache__"))
    assert CACHE
    subprocess.run(["cp", "-rl", f"{CACHE}/wheelhouse", str(made)], check=True)
    return made


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    assert CACHE
    folder = Path(CACHE) / "storage"
    made = Engine(folder)
    if folder.exists():
        made.clear()  # of a run that was killed
    with made:
        yield made


@pytest.fixture(scope="session")
def base(engine: Engine) -> str:
    assert CACHE
    return engine.take(Path(CACHE) / "base.tar", "collegium-test-base")


@pytest.fixture(scope="session")
def images(engine: Engine, base: str, context: Path, table: Table) -> tuple[str, ...]:
    """The images, built."""
    for image in IMAGES:
        seconds = engine.build(image, context, base)
        table.add(f"{image}, built", f"{engine.inspect(image)['Size'] / 1e6:.0f} MB", seconds)
    return IMAGES

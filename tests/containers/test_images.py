"""What is in the images, and what is not. Run by `make container-test`."""

import stat
import tomllib
from pathlib import Path

import pytest

from deploy.containers.program import PROGRAMS
from tests.containers.conftest import Table
from tests.containers.engine import Engine
from tests.docs.pages import ROOT

pytestmark = pytest.mark.slow

TOOLS = ("sh", "bash", "dash", "busybox", "apt", "apt-get", "dpkg", "pip", "pip3", "gcc", "cc", "ld", "perl", "curl",
         "wget", "mount", "su", "passwd", "env", "cat", "ls")  # fmt: skip
LIBRARIES = ("torch", "monai", "opacus", "pydicom", "tenseal", "scipy", "dp_accounting", "highdicom", "gdcm")


def blind() -> list[str]:
    """The modules that the aggregator must not reach, from the contract that the linter checks."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = [one for one in contracts if one["name"].startswith("the aggregator is blind")]
    return list(contract["forbidden_modules"])


def site(tree: Path) -> Path:
    (found,) = tree.glob("opt/collegium/lib/python3.*/site-packages")
    return found


def present(folder: Path, module: str) -> list[Path]:
    """Files that an import of the module could find."""
    path = folder.joinpath(*module.split("."))
    return [found for found in (path, path.with_suffix(".py"), *path.parent.glob(f"{path.name}.*so")) if found.exists()]


def test_the_aggregators_has_nothing_that_opens_trains_or_reads_images(
    engine: Engine, images: tuple[str, ...], table: Table
) -> None:
    folder = site(engine.tree("collegium-aggregator"))
    modules = [*blind(), *LIBRARIES]
    assert {"privacy.he.keyholder", "privacy.secagg", "torch", "silo_node"} <= set(modules)
    assert [path for module in modules for path in present(folder, module)] == []
    assert present(folder, "privacy.he.adder"), "the check would see nothing"
    ours = [path for name in ("aggregator", "privacy") for path in (folder / name).rglob("*.py")]
    table.add("aggregator: modules of ours; forbidden ones", f"{len(ours)}; none of {len(modules)}")


def test_the_silos_has_its_own_program_only(engine: Engine, images: tuple[str, ...]) -> None:
    folder = site(engine.tree("collegium-silo"))
    assert [path for name in ("aggregator", "compliance", "deploy") for path in present(folder, name)] == []
    assert all(present(folder, name) for name in ("silo_node", "imaging", "privacy.he.keyholder", "torch", "tenseal"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_there_is_no_tool_in_it(engine: Engine, images: tuple[str, ...], program: str, table: Table) -> None:
    tree = engine.tree(f"collegium-{program}")
    commands = {
        path.name
        for folder in ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "opt/collegium/bin")
        if (tree / folder).is_dir()
        for path in (tree / folder).iterdir()
    }
    assert commands.isdisjoint(TOOLS)
    assert {one for one in commands if not one.startswith("python3") and one != "python"} == {f"collegium-{program}"}
    assert not any(present(site(tree), module) for module in ("pip", "setuptools", "ensurepip"))
    table.add(f"{program}: commands in it", ", ".join(sorted(commands)))


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_file_gives_rights_and_none_may_be_changed(engine: Engine, images: tuple[str, ...], program: str) -> None:
    tree = engine.tree(f"collegium-{program}")
    for path in tree.rglob("*"):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode):
            assert not found.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH), path
            assert found.st_uid == 0, path
    assert (tree / "state").stat().st_uid == 10001
    assert (tree / "etc/passwd").read_text().count("nologin") == 2


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_says_how_it_is_run(engine: Engine, images: tuple[str, ...], program: str) -> None:
    image = engine.inspect(f"collegium-{program}")
    config = image["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == [f"/opt/collegium/bin/collegium-{program}"]
    assert config["StopSignal"] in ({"silo": ("SIGINT", "2"), "aggregator": ("SIGTERM", "15")}[program])
    assert image["Healthcheck"]["Test"][:2] == ["CMD", "/opt/collegium/bin/python3"]
    assert config["Labels"]["org.opencontainers.image.title"] == f"collegium-{program}"
    packages = [path.name for path in (engine.tree(f"collegium-{program}") / "var/lib/dpkg/status.d").iterdir()]
    assert "libc6" in packages
    assert "bash" not in packages


def test_the_same_wheels_give_the_same_bytes(
    engine: Engine, base: str, context: Path, images: tuple[str, ...], table: Table
) -> None:
    first = engine.inspect("collegium-aggregator")["RootFS"]["Layers"]
    seconds = engine.build("collegium-aggregator:again", context, base)
    second = engine.inspect("collegium-aggregator:again")["RootFS"]["Layers"]
    table.add("aggregator, built again: layers", "the same" if first == second else "others", seconds)
    assert first == second

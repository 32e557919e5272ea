"""Whatever a program imports, it says that it needs: it must run where nothing but that is installed."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from deploy.containers.program import OURS, PROGRAMS, reachable
from deploy.release.wheelhouse import IMAGES
from tests.docs.pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DISTRIBUTIONS = packages_distributions()
ABSENT = {"aggregator": {"pkcs11"}, "silo": set[str]()}
"""What a program reaches and never imports: an aggregator's keys are files."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=\[]", name)[0]).lower()


def imported(path: Path) -> set[str]:
    """Top-level names of the packages that a module imports, also within functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - set(OURS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_imports_what_its_installation_has(program: str) -> None:
    told = PROGRAMS[program]
    extras = (one for extra in IMAGES[program] for one in PROJECT["optional-dependencies"][extra])
    declared = {normal(one) for one in [*PROJECT["dependencies"], *extras]}
    paths = (
        reachable(ROOT, told.entry)
        if told.entry
        else {path for name in told.packages for path in (ROOT / name).rglob("*.py")}
    )
    wanted = {name: path.name for path in paths for name in imported(path)}
    missing = {name: at for name, at in wanted.items() if declared.isdisjoint(map(normal, DISTRIBUTIONS.get(name, [])))}
    assert set(missing) == ABSENT[program], missing

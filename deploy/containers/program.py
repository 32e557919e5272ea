"""Cuts an installed Collegium down to one program: run while an image is built, in the stage that has the tools.

Of our packages only those stay that the program is made of. The aggregator's are cut further, to the modules that are
reachable by an import from its entry point: what opens a ciphertext is then not in its image (promise P1). Of the
commands of all packages only the program's own stays. What installs packages goes, and what only a compiler
reads, and tests.
Bytecode is compiled here, since an image is read-only when it runs; its validity does not depend on file times, so
that the same wheels give the same bytes. Standard library only.

Usage: program.py {silo,aggregator} ENVIRONMENT
"""

import compileall
import py_compile
import shutil
import sys
from dataclasses import dataclass
from modulefinder import ModuleFinder
from pathlib import Path

OURS = ("aggregator", "compliance", "deploy", "imaging", "privacy", "silo_node")
SOURCES = (".py", ".pyi", ".proto")
OF_COMPILERS = ("torch/include", "torch/bin/[!t]*", "torch/bin/test_*", "torch/share", "numpy/_core/include", "**/*.a")
OF_TESTS = ("**/tests",)
OF_INSTALLERS = ("setuptools", "setuptools-*.dist-info", "pkg_resources", "_distutils_hack", "distutils-precedence.pth")
"""torch asks for them to build extensions; nothing here does."""


@dataclass(frozen=True)
class Program:
    """What stays: the command, its packages, and if `entry` is given only the modules that it reaches."""

    command: str
    packages: tuple[str, ...]
    entry: str | None = None


PROGRAMS = {
    "silo": Program("collegium-silo", ("imaging", "privacy", "silo_node")),
    "aggregator": Program("collegium-aggregator", ("aggregator", "privacy"), "aggregator/app.py"),
}


def cut(program: Program, environment: Path) -> None:
    """Remove what the program does not need from a virtual environment, and compile the rest."""
    (site,) = environment.glob("lib/python3.*/site-packages")
    for package in OURS:
        if package not in program.packages:
            shutil.rmtree(site / package)
    if program.entry is not None:
        reached = reachable(site, program.entry)
        for package in program.packages:
            _remove_others(site / package, reached)
    for command in (environment / "bin").iterdir():
        if command.name != program.command and not command.name.startswith("python"):
            command.unlink()
    for path in {found for name in (*OF_COMPILERS, *OF_INSTALLERS, *OF_TESTS) for found in site.glob(name)}:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    compileall.compile_dir(
        str(site), quiet=2, force=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH, maxlevels=40
    )


def reachable(site: Path, entry: str) -> frozenset[Path]:
    """The files of our packages that an import leads to from `entry`, also one within a function."""
    finder = ModuleFinder(path=[str(site)], excludes=_others(site))
    finder.run_script(str(site / entry))
    files = {Path(file) for module in finder.modules.values() if (file := getattr(module, "__file__", None))}
    return frozenset(file for file in files if file.relative_to(site).parts[0] in OURS)


def _others(site: Path) -> list[str]:
    """Names of the packages that are not ours: they stay whole, and looking into them takes minutes."""
    return [name for path in site.iterdir() if (name := path.name.removesuffix(".py")) not in OURS]


def _remove_others(package: Path, reached: frozenset[Path]) -> None:
    """Remove sources that are not reached, and folders that are then empty."""
    for path in sorted(package.rglob("*"), reverse=True):
        if path.is_file() and path.suffix in SOURCES and path not in reached:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


if __name__ == "__main__":
    cut(PROGRAMS[sys.argv[1]], Path(sys.argv[2]))

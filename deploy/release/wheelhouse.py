"""Makes the wheelhouse that images and offline installs are made of: every wheel, and lists of them with their SHA-256.

What is fetched is fixed by the lock files in this folder, which are reviewed as code is: a wheel with another digest is
refused. The wheel of Collegium is built from the files that git tracks, with the time of the last commit, so that the
same commit gives the same bytes. Wheels are those of Linux on x86-64 and Python 3.11.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from privacy import console
from privacy.errors import Unreachable

ROOT = Path(__file__).parents[2]
LOCKS = Path(__file__).parent / "locks"
IMAGES = {"aggregator": ("aggregator",), "silo": ("silo", "pkcs11")}
"""The extras of pyproject.toml that each image has."""

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The wheels of a release.")


@app.command()
def lock() -> None:
    """Write the lock files again, after constraints.txt was changed. Needs a package index.

    Example: python -m deploy.release.wheelhouse lock
    """
    for image, extras in IMAGES.items():
        report = _pip(
            *("install", "--quiet", "--dry-run", "--ignore-installed", "--only-binary", ":all:", "--report", "-"),
            *("-c", str(ROOT / "constraints.txt"), *_requirements(extras)),
        )
        lines = [
            f"{part['metadata']['name'].lower()}=={part['metadata']['version']}"
            f" --hash=sha256:{part['download_info']['archive_info']['hashes']['sha256']}"
            for part in json.loads(report)["install"]
        ]
        (LOCKS / f"{image}.txt").write_text("\n".join(sorted(lines)) + "\n")


@app.command()
def fill(
    folder: Annotated[Path, typer.Argument(help="New folder: wheels/ and a list for each image.")],
    images: Annotated[list[str] | None, typer.Option("--image", help="silo or aggregator; both if left out.")] = None,
) -> None:
    """Fetch the locked wheels, build that of Collegium, and write the lists that images are installed from.

    Example: python -m deploy.release.wheelhouse fill deploy/containers/wheelhouse
    """
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    digest = hashlib.sha256(build(wheels).read_bytes()).hexdigest()
    ours = f"collegium=={_project()['version']} --hash=sha256:{digest}\n"
    for image in images or IMAGES:
        locked = LOCKS / f"{image}.txt"
        _pip(
            *("download", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"),
            *("-d", str(wheels), "-r", str(locked)),
        )
        (folder / f"{image}.txt").write_text(locked.read_text() + ours)


def build(folder: Path) -> Path:
    """Make the wheel of Collegium in `folder`."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct").strip()
    with tempfile.TemporaryDirectory() as made:
        source = Path(made)
        for name in _git("ls-files", "-z").split("\0"):
            if name and (ROOT / name).is_file():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, source / name)
                (source / name).chmod(0o644)
        _pip(
            *("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(source)),
            SOURCE_DATE_EPOCH=epoch,
        )
    (wheel,) = folder.glob("collegium-*.whl")
    return wheel


def _requirements(extras: Sequence[str]) -> list[str]:
    project = _project()
    return [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _pip(*arguments: str, **environment: str) -> str:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unreachable(
            f"'pip {arguments[0]}' failed, as it says above; check the package index, and whether a digest is another",
            code="release.wheels",
        )
    return done.stdout


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603, S607


if __name__ == "__main__":
    console.run(app)

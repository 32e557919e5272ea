"""The offline bundle of the images that were built, and what its bills say. Run by `make container-test`."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from deploy.containers.program import PROGRAMS
from deploy.release import image
from tests.containers.conftest import CACHE, IMAGES, Table
from tests.containers.engine import Engine, Mount
from tests.docs.pages import ROOT

pytestmark = pytest.mark.slow


def bundle(*arguments: str | Path) -> str:
    """Run a command of who publishes."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.release.bundle", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made(
    engine: Engine, images: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory, table: Table
) -> Iterator[tuple[Path, str]]:
    """A signed bundle with both images, and the fingerprint of its key."""
    assert CACHE
    root = tmp_path_factory.mktemp("release")
    began = time.monotonic()
    (root / "images").mkdir()
    for name in IMAGES:
        engine.save(name, root / "images" / f"{name}.tar")
    (root / "passphrase").write_text("correct horse battery\n")
    (root / "passphrase").chmod(0o600)
    secret = ("--passphrase-file", root / "passphrase")
    fingerprint = bundle("new-key", root / "release.key", *secret).split("fingerprint")[1].strip(" :\n")
    folder = root / "collegium"
    bundle("make", folder, "--wheelhouse", Path(CACHE) / "wheelhouse", "--images", root / "images")
    bundle("sign", folder, "--key", root / "release.key", *secret)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    table.add("bundle with both images", f"{size / 1e6:.0f} MB", time.monotonic() - began)
    yield folder, fingerprint
    shutil.rmtree(root)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_bill_lists_exactly_what_is_in_the_image(made: tuple[Path, str], program: str, table: Table) -> None:
    text = (made[0] / "sbom" / f"collegium-{program}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    listed = {(part["purl"].split(":")[1].split("/")[0], part["name"]) for part in json.loads(text)["components"]}
    found = image.read(made[0] / "images" / f"collegium-{program}.tar")
    python = {("pypi", canonicalize_name(name)) for name, _ in found.distributions}
    debian = {("deb", package.name) for package in found.system}
    assert {(kind, canonicalize_name(name) if kind == "pypi" else name) for kind, name in listed} == python | debian
    assert (("pypi", "torch") in python) == (program == "silo")
    assert ("deb", "libc6") in debian
    table.add(f"{program}: bill of materials", f"{len(python)} wheels, {len(debian)} Debian packages")


def test_a_hospital_verifies_it_in_the_silos_container(engine: Engine, made: tuple[Path, str], table: Table) -> None:
    folder, fingerprint = made
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 10001, 10001)
    said = engine.once(
        "collegium-silo",
        ("verify-release", "/release", "--key", fingerprint, "--json"),
        [Mount(folder, "/release")],
    )
    rows = json.loads(said)
    table.add("silo: verify-release, in its container", ", ".join(row["state"] for row in rows["checks"]))
    assert {row["state"] for row in rows["checks"]} == {"ok"}, said

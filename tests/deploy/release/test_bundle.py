"""A bundle of made-up wheels and images, made by the command and verified as a hospital does."""

import hashlib
import io
import json
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from typer.testing import CliRunner

from aggregator import PACKAGES
from deploy.release import bundle, image
from deploy.release.sbom import DebianPackage
from privacy.errors import ConfigError
from privacy.ledger.facts.software import code_digest
from privacy.operations import findings
from privacy.release.checks import checks
from privacy.release.manifest import Release
from silo_node import PACKAGES as SILO

OURS = {
    "privacy/__init__.py": b"",
    "privacy/study.py": b"x = 1\n",
    "aggregator/app.py": b"",
    "silo_node/app.py": b"",
    "imaging/x.py": b"",
}
LIBC = "Package: libc6\nVersion: 2.36-9\nArchitecture: amd64\nDescription: GNU C Library\n x\n"


def wheel(folder: Path, name: str, version: str, files: dict[str, bytes], *needs: str) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, data in files.items():
            archive.writestr(inside, data)
        archive.writestr(
            f"{name}-{version}.dist-info/METADATA", about + "".join(f"Requires-Dist: {need}\n" for need in needs)
        )
    return path


def tar(files: dict[str, bytes], path: Path | None = None) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    if path is not None:
        path.write_bytes(made.getvalue())
    return made.getvalue()


def saved(path: Path, packages: tuple[str, ...], **more: bytes) -> None:
    site = "opt/collegium/lib/python3.11/site-packages"
    code = {f"{site}/{name}": data for name, data in image.code(OURS, packages).items()}
    code |= {f"{site}/privacy/__pycache__/study.pyc": b"?", f"{site}/numpy-2.0.dist-info/METADATA": b""}
    code[f"{site}/collegium-0.1.0.dist-info/METADATA"] = b""
    layer = tar({**code, "var/lib/dpkg/status.d/libc6": LIBC.encode(), **more})
    tar({"manifest.json": json.dumps([{"Layers": ["a/layer.tar"]}]).encode(), "a/layer.tar": layer}, path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    root = tmp_path_factory.mktemp("bundle")
    wheels = root / "wheelhouse" / "wheels"
    wheels.mkdir(parents=True)
    listed = [
        wheel(wheels, "collegium", "0.1.0", OURS, "numpy", 'monai; extra == "silo"', "@@odd@@"),
        wheel(wheels, "numpy", "2.0", {}),
        wheel(wheels, "left_out", "1.0", {}),
    ]
    lines = [f"x --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in listed]
    for name in ("silo", "aggregator"):
        (root / "wheelhouse" / f"{name}.txt").write_text("".join(lines))
    (root / "images").mkdir()
    saved(root / "images" / "collegium-silo.tar", SILO)
    saved(root / "images" / "collegium-aggregator.tar", PACKAGES)
    runner = CliRunner()
    (root / "passphrase").write_text("correct horse battery\n")
    (root / "passphrase").chmod(0o600)
    folder, secret = str(root / "collegium-0.1.0"), ["--passphrase-file", str(root / "passphrase")]
    key = runner.invoke(bundle.app, ["new-key", str(root / "release.key"), *secret])
    assert key.exit_code == 0, key.output
    assert runner.invoke(bundle.app, ["pack", folder]).exit_code != 0
    for asked in (
        ["make", folder, "--wheelhouse", str(root / "wheelhouse"), "--images", str(root / "images")],
        ["sign", folder, "--key", str(root / "release.key"), *secret],
        ["pack", folder],
    ):
        done = runner.invoke(bundle.app, asked)
        assert done.exit_code == 0, (done.output, done.exception)
    return root / "collegium-0.1.0", key.stdout.split("fingerprint")[1].strip(" :\n")


def release(folder: Path) -> Release:
    return Release.model_validate_json((folder / "release.json").read_bytes())


def test_a_hospital_verifies_it(made: tuple[Path, str]) -> None:
    folder, key = made
    found = {one.check: one for one in findings.examine(checks(folder, [key], SILO))}
    assert {name: one.state for name, one in found.items() if name != "this program"} == {
        "signature": findings.WELL,
        "files": findings.WELL,
        "nothing else": findings.WELL,
    }, found


def test_without_our_tool_the_sums_can_be_checked(made: tuple[Path, str]) -> None:
    done = subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS"], cwd=made[0], check=False)
    assert done.returncode == 0


def test_the_release_names_the_code_of_wheels_and_images(made: tuple[Path, str]) -> None:
    codes = release(made[0]).code
    assert codes["silo"] == codes["silo-image"] == code_digest(image.code(OURS, SILO))
    assert codes["aggregator"] == codes["aggregator-image"] == code_digest(image.code(OURS, PACKAGES))
    assert codes["silo"] != codes["aggregator"]


def test_everything_that_is_promised_is_in_it(made: tuple[Path, str]) -> None:
    paths = {file.path for file in release(made[0]).files}
    assert {"silo.txt", "aggregator.txt", "SHA256SUMS", "LICENSE", "docs/how-to/hospital-it.md"} <= paths
    assert {"images/collegium-silo.tar", "images/collegium-aggregator.tar"} <= paths
    assert "deploy/samples/silo.yaml" in paths
    assert not [path for path in paths if path.endswith(".key")]


@pytest.mark.parametrize("name", ["silo", "aggregator"])
def test_the_bill_is_valid_and_lists_wheels_and_system(made: tuple[Path, str], name: str) -> None:
    text = (made[0] / "sbom" / f"collegium-{name}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill: dict[str, Any] = json.loads(text)
    parts = {part["name"]: part for part in bill["components"]}
    assert parts.keys() == {"collegium", "numpy", "libc6"}
    wheel = next((made[0] / "wheels").glob("numpy-*"))
    assert parts["numpy"]["hashes"][0]["content"] == hashlib.sha256(wheel.read_bytes()).hexdigest()
    needs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    assert needs["pkg:pypi/collegium@0.1.0"] == ["pkg:pypi/numpy@2.0"]
    assert parts["libc6"]["purl"].startswith("pkg:deb/debian/libc6@2.36-9?")


def test_an_image_with_a_package_from_elsewhere_is_refused(made: tuple[Path, str], tmp_path: Path) -> None:
    site = "opt/collegium/lib/python3.11/site-packages"
    for name, packages in (("silo", SILO), ("aggregator", PACKAGES)):
        saved(tmp_path / f"collegium-{name}.tar", packages, **{f"{site}/numpy-2.1.dist-info/METADATA": b""})
    asked = [str(tmp_path / "out"), "--wheelhouse", str(made[0].parent / "wheelhouse"), "--images", str(tmp_path)]
    done = CliRunner().invoke(bundle.app, ["make", *asked])
    assert isinstance(done.exception, ConfigError)
    assert done.exception.code == "release.foreign_package"


def test_the_packed_bundle_is_the_same_files(made: tuple[Path, str], tmp_path: Path) -> None:
    with tarfile.open(made[0].with_name("collegium-0.1.0.tar")) as archive:
        assert {(member.uid, member.mode & 0o7022) for member in archive} == {(0, 0)}
        archive.extractall(tmp_path, filter="data")
    rows = findings.examine(checks(tmp_path / "collegium-0.1.0", [made[1]], SILO))
    assert [row.state for row in rows[:3]] == [findings.WELL] * 3


def test_what_an_image_holds(tmp_path: Path) -> None:
    saved(tmp_path / "x.tar", PACKAGES)
    found = image.read(tmp_path / "x.tar")
    assert found.code == image.code(OURS, PACKAGES)
    assert found.distributions == {("collegium", "0.1.0"), ("numpy", "2.0")}
    assert found.system == {DebianPackage("libc6", "2.36-9", "amd64")}


def test_images_that_cannot_be_listed_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    saved(path, PACKAGES, **{"etc/.wh.passwd": b""})
    with pytest.raises(ValueError, match="remove"):
        image.read(path)
    for broken in (b"", b"no tar", tar({"manifest.json": b"[]"}), tar({"manifest.json": b"{"}), tar({"x": b""})):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"x\.tar"):
            image.read(path)


def test_a_key_that_others_can_read_signs_nothing(made: tuple[Path, str], tmp_path: Path) -> None:
    key, secret = tmp_path / "release.key", ["--passphrase-file", str(made[0].parent / "passphrase")]
    key.write_bytes((made[0].parent / "release.key").read_bytes())
    (tmp_path / "release.json").write_bytes((made[0] / "release.json").read_bytes())
    key.chmod(0o644)
    assert CliRunner().invoke(bundle.app, ["sign", str(tmp_path), "--key", str(key), *secret]).exit_code != 0
    assert not (tmp_path / "release.sig").exists()
    key.chmod(0o600)
    assert CliRunner().invoke(bundle.app, ["sign", str(tmp_path), "--key", str(key), *secret]).exit_code == 0
    assert (tmp_path / "release.sig").read_bytes() == (made[0] / "release.sig").read_bytes()

"""Makes the offline bundle: one folder with all that an installation without the internet needs, signed as a whole.

    wheels/  silo.txt  aggregator.txt     for `pip install --no-index --find-links wheels --require-hashes -r silo.txt`
    images/collegium-{silo,aggregator}.tar  for `podman load`, where images were given
    sbom/*.cdx.json                       what is inside each, CycloneDX 1.6
    deploy/                               compose, systemd, Kubernetes, samples
    SHA256SUMS                            for `sha256sum -c`
    release.json  release.sig             for `verify-release`

What it is made of was fetched before, see `deploy.release.wheelhouse` and deploy/containers.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from aggregator import PACKAGES as AGGREGATOR
from deploy.release import image, sbom
from privacy import console
from privacy.channel import key_file, passphrase
from privacy.channel.files import Secret, write_secret
from privacy.errors import ConfigError
from privacy.ledger.facts.software import code_digest
from privacy.release import manifest
from privacy.release.manifest import Release, ReleasedFile
from privacy.roster import fingerprint
from silo_node import PACKAGES as SILO

ROOT = Path(__file__).parents[2]
PROGRAMS: Mapping[str, tuple[str, ...]] = {"aggregator": AGGREGATOR, "silo": SILO}
"""The packages of each program, as it enters them into its ledger."""
FOLDERS = (
    "deploy/compose",
    "deploy/firewall",
    "deploy/grafana",
    "deploy/helm",
    "deploy/kubernetes",
    "deploy/samples",
    "deploy/systemd",
)
SUMS = "SHA256SUMS"

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The offline bundle of a release.")


PassphraseFile = Annotated[
    Path | None, typer.Option(help="File with the key's passphrase.", show_default="asked for where there is one")
]


@app.command("new-key")
def new_key(
    path: Annotated[Path, typer.Argument(help="File to make; keep it off the machine that builds.")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make a key that releases are signed with, and print its fingerprint, which goes to everybody who installs.

    Example: python -m deploy.release.bundle new-key release.key --passphrase-file release.passphrase
    """
    said = passphrase.ask("the new key", confirm=True) if passphrase_file is None else passphrase.read(passphrase_file)
    passphrase.check_new(said)
    key = Ed25519PrivateKey.generate()
    write_secret(path, key_file.content(key, said))
    console.emit({"fingerprint": fingerprint(key.public_key().public_bytes_raw())}, as_json=False)


@app.command()
def make(
    folder: Annotated[Path, typer.Argument(help="New folder.")],
    wheelhouse: Annotated[Path, typer.Option(help="As made by deploy.release.wheelhouse.")],
    images: Annotated[
        Path | None, typer.Option(help="Folder with collegium-silo.tar and collegium-aggregator.tar.")
    ] = None,
) -> None:
    """Make the bundle, which is then signed and packed.

    Example: python -m deploy.release.bundle make collegium-0.1.0 --wheelhouse wheelhouse --images images
    """
    folder.mkdir(parents=True)
    at = datetime.fromtimestamp(int(_git("log", "-1", "--format=%ct")), UTC)
    shutil.copytree(wheelhouse / "wheels", folder / "wheels")
    (ours,) = (folder / "wheels").glob("collegium-*.whl")
    version = ours.name.split("-")[1]
    codes = dict(_codes_of_wheel(ours))
    (folder / "sbom").mkdir()
    for name in PROGRAMS:
        shutil.copyfile(wheelhouse / f"{name}.txt", folder / f"{name}.txt")
        wheels = list(_listed(folder, name))
        system: set[sbom.DebianPackage] = set()
        if images is not None:
            saved = images / f"collegium-{name}.tar"
            content = image.read(saved)
            wheels, system = _installed(wheels, content, name), content.system
            codes[f"{name}-image"] = code_digest(image.code(content.code, PROGRAMS[name]))
            (folder / "images").mkdir(exist_ok=True)
            shutil.copyfile(saved, folder / "images" / saved.name)
        bill = sbom.bill(f"collegium-{name}", version, at, wheels, system)
        (folder / "sbom" / f"collegium-{name}.cdx.json").write_text(bill)
    for name in _tracked(*FOLDERS, "LICENSE", "CHANGELOG.md", "README.md", "SECURITY.md", "docs"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    sums = "".join(f"{file.sha256}  {file.path}\n" for file in _files(folder))
    (folder / SUMS).write_text(sums)
    release = Release(version=version, revision=_git("rev-parse", "HEAD"), code=codes, files=tuple(_files(folder)))
    (folder / manifest.MANIFEST).write_bytes(release.canonical())
    console.emit(
        {
            "version": version,
            "revision": release.revision,
            "files": len(release.files),
            "megabytes": round(sum(file.size for file in release.files) / 1e6),
            "images": images is not None,
        },
        as_json=False,
    )


@app.command()
def sign(
    folder: Annotated[Path, typer.Argument(help="Folder with release.json; of the bundle nothing else is read.")],
    key: Annotated[Path, typer.Option(help="Release key, a file that only you may read.")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Sign release.json by release.sig beside it; both can travel alone to the machine that has the key.

    Example: python -m deploy.release.bundle sign collegium-0.1.0 --key release.key
    """
    release = manifest.unsigned(folder)
    signer = key_file.signing_key(
        key,
        lambda: passphrase.ask("the release key") if passphrase_file is None else passphrase.read(passphrase_file),
        kind=Secret.OWN_KEY,
    )
    (folder / manifest.SIGNATURE).write_text(manifest.sign(release, signer).model_dump_json() + "\n")
    signed_by = fingerprint(signer.public_key().public_bytes_raw())
    console.emit({"version": release.version, "revision": release.revision, "key": signed_by}, as_json=False)


@app.command()
def pack(folder: Annotated[Path, typer.Argument(help="Folder of a signed bundle.")]) -> None:
    """Make `FOLDER.tar` of a signed bundle.

    Example: python -m deploy.release.bundle pack collegium-0.1.0
    """
    if not (folder / manifest.SIGNATURE).exists():
        raise ConfigError("the bundle is not signed; run 'sign' first", code="release.unsigned")
    revision = manifest.unsigned(folder).revision
    packed = _pack(folder, datetime.fromtimestamp(int(_git("log", "-1", "--format=%ct", revision)), UTC))
    console.emit({"file": packed.name, "megabytes": round(packed.stat().st_size / 1e6)}, as_json=False)


def _codes_of_wheel(wheel: Path) -> Iterator[tuple[str, str]]:
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    for program, packages in PROGRAMS.items():
        yield program, code_digest(image.code(files, packages))


def _listed(folder: Path, name: str) -> Iterator[Path]:
    """The wheels of a list, which are known by their digests."""
    by_digest = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in sorted((folder / "wheels").iterdir())}
    for line in (folder / f"{name}.txt").read_text().splitlines():
        yield by_digest[line.rpartition("sha256:")[2]]


def _installed(wheels: Iterable[Path], content: image.Content, name: str) -> list[Path]:
    """The wheels that are in an image. A build leaves some out; a package that no wheel gave is refused."""
    by_name = {parse_wheel_filename(wheel.name)[:2]: wheel for wheel in wheels}
    found = {(canonicalize_name(part), Version(version)) for part, version in content.distributions}
    if found - by_name.keys():
        raise ConfigError(f"the image of {name} holds packages that its list lacks", code="release.foreign_package")
    return [wheel for part, wheel in by_name.items() if part in found]


def _files(folder: Path) -> Iterator[ReleasedFile]:
    for path in sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.as_posix()):
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        yield ReleasedFile(path=path.relative_to(folder).as_posix(), size=path.stat().st_size, sha256=digest)


def _pack(folder: Path, at: datetime) -> Path:
    """The folder as one tar, the same bytes for the same files."""
    packed = folder.with_name(f"{folder.name}.tar")

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mtime, member.mode = int(at.timestamp()), 0o755 if member.isdir() else 0o644
        return member

    with tarfile.open(packed, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted((folder, *folder.rglob("*")), key=lambda path: path.as_posix()):
            archive.add(path, path.relative_to(folder.parent).as_posix(), recursive=False, filter=plain)
    return packed


def _tracked(*paths: str) -> list[str]:
    return [name for name in _git("ls-files", "-z", "--", *paths).split("\0") if name]


def _git(*arguments: str) -> str:
    return subprocess.run(  # noqa: S603
        ["git", *arguments],  # noqa: S607 - the builder's own
        cwd=ROOT,
        env={**os.environ, "LC_ALL": "C"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()


if __name__ == "__main__":
    console.run(app)

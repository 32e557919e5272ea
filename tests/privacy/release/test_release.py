"""A signed release and its tampered twins, by the command that people run."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

from privacy.errors import CollegiumError, CorruptState, IdentityError
from privacy.ledger.facts import software
from privacy.release import manifest
from privacy.release.manifest import Release, ReleasedFile
from privacy.roster import fingerprint
from silo_node import PACKAGES
from silo_node.app import app

KEY = Ed25519PrivateKey.generate()
TRUSTED = fingerprint(KEY.public_key().public_bytes_raw())
FILES = {"silo.txt": b"numpy==2", "wheels/numpy-2-py3.whl": b"a wheel", "wheels/torch-2-py3.whl": b""}


def released(files: dict[str, bytes], code: str = "ab" * 32) -> Release:
    listed = (ReleasedFile(path=p, size=len(d), sha256=hashlib.sha256(d).hexdigest()) for p, d in sorted(files.items()))
    return Release(version="0.1.0", revision="cd" * 20, code={"silo": code}, files=tuple(listed))


def publish(folder: Path, release: Release, files: dict[str, bytes], key: Ed25519PrivateKey = KEY) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / manifest.MANIFEST).write_bytes(release.canonical())
    (folder / manifest.SIGNATURE).write_text(manifest.sign(release, key).model_dump_json())
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return publish(tmp_path / "collegium-0.1.0", released(FILES), FILES)


def verify(folder: Path, key: str = TRUSTED) -> tuple[dict[str, Any], BaseException | None]:
    ended = CliRunner().invoke(app, ["verify-release", str(folder), "--key", key, "--json"])
    rows = json.loads(ended.stdout.splitlines()[0])["checks"]
    return {row["check"]: row for row in rows}, ended.exception


def test_a_release_as_it_was_published(folder: Path) -> None:
    rows, error = verify(folder)
    assert error is None
    states = {name: row["state"] for name, row in rows.items()}
    assert states == {"signature": "ok", "files": "ok", "nothing else": "ok", "this program": "warning"}


def test_whether_the_program_that_runs_is_the_releases(tmp_path: Path) -> None:
    code = str(software.inventory(PACKAGES)["code"])
    rows, error = verify(publish(tmp_path / "r", released(FILES, code), FILES))
    assert (rows["this program"]["state"], error) == ("ok", None)
    assert "(silo)" in rows["this program"]["found"]


@pytest.mark.parametrize("spelling", [str.upper, lambda text: text.replace(" ", ""), lambda text: f" {text}\n"])
def test_a_fingerprint_is_taken_as_people_copy_it(folder: Path, spelling: Callable[[str], str]) -> None:
    assert verify(folder, spelling(TRUSTED))[1] is None


def altered(folder: Path) -> None:
    (folder / "wheels/numpy-2-py3.whl").write_bytes(b"A wheel")


def missing(folder: Path) -> None:
    (folder / "silo.txt").unlink()


def linked(folder: Path) -> None:
    (folder / "silo.txt").rename(folder.parent / "silo.txt")
    (folder / "silo.txt").symlink_to(folder.parent / "silo.txt")


def linked_folder(folder: Path) -> None:
    (folder / "wheels").rename(folder.parent / "wheels")
    (folder / "wheels").symlink_to(folder.parent / "wheels")


def a_folder_instead(folder: Path) -> None:
    (folder / "silo.txt").unlink()
    (folder / "silo.txt").mkdir()


def a_pipe_instead(folder: Path) -> None:
    (folder / "silo.txt").unlink()
    os.mkfifo(folder / "silo.txt")


@pytest.mark.parametrize("tamper", [altered, missing, linked, linked_folder, a_folder_instead, a_pipe_instead])
def test_a_file_that_is_not_as_published(folder: Path, tamper: Callable[[Path], None]) -> None:
    tamper(folder)
    rows, error = verify(folder)
    assert rows["files"]["code"] == "release.altered"
    assert isinstance(error, CorruptState)


@pytest.mark.parametrize("name", [manifest.MANIFEST, manifest.SIGNATURE])
def test_a_pipe_in_place_of_the_list_is_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    rows, error = verify(folder)
    assert rows["signature"]["code"] == "release.altered"
    assert "fetch the release again" in rows["signature"]["mend"]
    assert isinstance(error, CorruptState)


@pytest.mark.parametrize("name", ["wheels/sitecustomize.whl", "\x1b[31mred"])
def test_a_file_that_is_not_of_the_release(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"import os")
    rows, error = verify(folder)
    assert rows["nothing else"]["code"] == "release.added"
    assert "\x1b" not in rows["nothing else"]["found"]
    assert isinstance(error, CorruptState)


def test_another_list_under_the_old_signature(folder: Path) -> None:
    (folder / manifest.MANIFEST).write_bytes(released({**FILES, "silo.txt": b"evil"}).canonical())
    rows, error = verify(folder)
    assert rows["signature"]["code"] == "release.bad_signature"
    assert {rows[name]["state"] for name in ("files", "nothing else", "this program")} == {"warning"}
    assert isinstance(error, IdentityError)


def test_a_release_that_somebody_else_signed(tmp_path: Path) -> None:
    rows, error = verify(publish(tmp_path / "r", released(FILES), FILES, Ed25519PrivateKey.generate()))
    assert rows["signature"]["code"] == "release.foreign_key"
    assert isinstance(error, IdentityError)


def test_the_right_name_on_a_foreign_signature(folder: Path) -> None:
    forged = manifest.sign(released(FILES), Ed25519PrivateKey.generate())
    own = KEY.public_key().public_bytes_raw().hex()
    (folder / manifest.SIGNATURE).write_text(forged.model_copy(update={"key": own}).model_dump_json())
    assert verify(folder)[0]["signature"]["code"] == "release.bad_signature"


@pytest.mark.parametrize("name", [manifest.MANIFEST, manifest.SIGNATURE])
@pytest.mark.parametrize("data", [None, b"", b"{}", b"[" * 100_000, b"\xff", b"x" * (manifest.MAX_BYTES + 1)])
def test_lists_and_signatures_that_are_none(folder: Path, name: str, data: bytes | None) -> None:
    (folder / name).unlink()
    if data is not None:
        (folder / name).write_bytes(data)
    with pytest.raises((CorruptState, IdentityError)):
        manifest.load(folder, [TRUSTED])


def test_a_list_that_is_signed_in_another_form_is_refused(folder: Path) -> None:
    body = json.dumps(released(FILES).model_dump(mode="json"), indent=1).encode()
    own = KEY.public_key().public_bytes_raw().hex()
    signature = manifest.ReleaseSignature(key=own, ed25519=KEY.sign(manifest.CONTEXT + body).hex())
    (folder / manifest.MANIFEST).write_bytes(body)
    (folder / manifest.SIGNATURE).write_text(signature.model_dump_json())
    with pytest.raises(CorruptState, match="canonical"):
        manifest.load(folder, [TRUSTED])


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b", "a/../b", "a/.", "", "release.json", "a\nb", "a b"])
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        ReleasedFile(path=path, size=0, sha256="ab" * 32)


@given(data=st.binary(max_size=300))
def test_whatever_is_in_the_signature_a_typed_error_comes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("release")
    publish(folder, released(FILES), FILES)
    (folder / manifest.SIGNATURE).write_bytes(data)
    with pytest.raises(CollegiumError):
        manifest.load(folder, [TRUSTED])

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from privacy.channel import passphrase
from privacy.channel.files import Secret, publish, read_secret, write_secret
from privacy.errors import IdentityError, StorageError


def test_a_secret_is_read_back_and_is_its_owners_alone(folder: Path) -> None:
    old = os.umask(0)
    try:
        write_secret(folder / "tls.key", b"secret")
    finally:
        os.umask(old)
    assert (folder / "tls.key").stat().st_mode & 0o777 == 0o600
    assert read_secret(folder / "tls.key") == b"secret"


def test_a_secret_is_never_replaced(folder: Path) -> None:
    write_secret(folder / "tls.key", b"first")
    with pytest.raises(StorageError, match=r"tls\.key"):
        write_secret(folder / "tls.key", b"second")
    assert read_secret(folder / "tls.key") == b"first"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_secret_that_others_may_touch_is_refused(folder: Path, mode: int) -> None:
    write_secret(folder / "tls.key", b"secret")
    (folder / "tls.key").chmod(mode)
    with pytest.raises(IdentityError, match="chmod 600") as caught:
        read_secret(folder / "tls.key")
    assert caught.value.code == "identity.exposed_key"


def test_a_link_is_no_secret(folder: Path) -> None:
    write_secret(folder / "real", b"secret")
    (folder / "tls.key").symlink_to(folder / "real")
    with pytest.raises(IdentityError):
        read_secret(folder / "tls.key")


def test_a_missing_secret_is_named(folder: Path) -> None:
    with pytest.raises(IdentityError, match=r"hpke\.key") as caught:
        read_secret(folder / "hpke.key")
    assert caught.value.code == "identity.missing_key"


@pytest.mark.parametrize("kind", [kind for kind in Secret if kind is not Secret.KEY])
def test_only_keys_of_a_member_come_from_init(folder: Path, kind: Secret) -> None:
    with pytest.raises(IdentityError) as missing:
        read_secret(folder / "secret", kind)
    write_secret(folder / "secret", b"secret")
    (folder / "secret").chmod(0o644)
    with pytest.raises(IdentityError, match="chmod 600") as exposed:
        read_secret(folder / "secret", kind)
    for error in (missing, exposed):
        assert kind.what in str(error.value)
        assert "run 'init'" not in str(error.value)
        assert "tell the consortium" not in str(error.value)


def test_what_is_said_of_a_passphrase_file_is_about_passphrases(folder: Path) -> None:
    path = folder / "passphrase.txt"
    with pytest.raises(IdentityError, match=r"passphrase file passphrase\.txt.*correct its path") as missing:
        passphrase.read(path)
    write_secret(path, b"correct horse battery staple")
    path.chmod(0o644)
    with pytest.raises(IdentityError, match="chmod 600") as exposed:
        passphrase.read(path)
    for error in (missing, exposed):
        assert "key" not in str(error.value)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_plain_file_is_refused_at_once(folder: Path, make: Callable[[Path], None]) -> None:
    make(folder / "passphrase.txt")
    with pytest.raises(IdentityError, match="is no plain file"):
        passphrase.read(folder / "passphrase.txt")


def test_publish_replaces_whole(folder: Path) -> None:
    publish(folder / "certificate.pem", b"one")
    publish(folder / "certificate.pem", b"two")
    assert (folder / "certificate.pem").read_bytes() == b"two"
    assert [path.name for path in folder.iterdir()] == ["certificate.pem"]


def test_a_full_disk_leaves_nothing_half_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(folder / "certificate.pem", b"one")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"certificate\.pem: No space left"):
        publish(folder / "certificate.pem", b"two")
    with pytest.raises(StorageError, match=r"tls\.key: No space left"):
        write_secret(folder / "tls.key", b"secret")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"certificate.pem": b"one"}


def test_a_rename_that_fails_keeps_the_old_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(folder / "certificate.pem", b"one")

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError):
        publish(folder / "certificate.pem", b"two")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"certificate.pem": b"one"}

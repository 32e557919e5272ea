import os
import shutil
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite

from privacy.channel.identity import HpkeKey, Identity, Keys, create_folder
from privacy.channel.member import Role
from privacy.errors import IdentityError, StorageError
from privacy.roster import fingerprint
from tests import power
from tests.consortium import Consortium


@pytest.fixture
def copied(consortium: Consortium, silo: Identity, folder: Path) -> Path:
    """A copy of an enrolled silo's identity folder, to be damaged."""
    shutil.copytree(consortium.state("st-marys") / "identity", folder / "identity")
    return folder / "identity"


def test_an_identity_is_read_back(consortium: Consortium, silo: Identity) -> None:
    again = Identity.load(consortium.state("st-marys") / "identity")
    assert again.member.uri == "spiffe://chest-net/silo/st-marys"
    assert again.certificate == silo.certificate
    assert again.keys.public_identity == silo.keys.public_identity
    assert again.fingerprint == fingerprint(silo.keys.public_identity)
    assert again.study_key == consortium.authority.public_study_key
    assert again.consortium_fingerprint == consortium.authority.fingerprint


def test_private_files_are_their_owners_alone(copied: Path) -> None:
    assert copied.stat().st_mode & 0o077 == 0
    for path in copied.glob("*.key"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in copied.glob("*.key")} == {"identity.key", "tls.key", "hpke.key"}


def test_the_aggregator_has_no_key_that_anything_could_be_sealed_to(consortium: Consortium, hub: Identity) -> None:
    assert hub.keys.hpke is None
    assert not (consortium.state("hub") / "identity" / "hpke.key").exists()


@pytest.mark.parametrize("name", ["identity.key", "tls.key", "hpke.key"])
def test_an_exposed_key_is_refused(copied: Path, name: str) -> None:
    (copied / name).chmod(0o644)
    with pytest.raises(IdentityError) as caught:
        Identity.load(copied)
    assert caught.value.code == "identity.exposed_key"


@pytest.mark.parametrize("name", ["identity.key", "tls.key", "hpke.key"])
@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_key_is_refused(copied: Path, name: str, content: bytes) -> None:
    (copied / name).write_bytes(content)
    with pytest.raises(IdentityError) as caught:
        Identity.load(copied)
    assert caught.value.code == "identity.damaged_key"


def test_exchanged_keys_are_refused(copied: Path) -> None:
    (copied / "identity.key").write_bytes((copied / "tls.key").read_bytes())
    with pytest.raises(IdentityError):
        Identity.load(copied)


def test_a_certificate_for_another_key_is_refused(copied: Path) -> None:
    (copied / "tls.key").unlink()
    (copied / "identity.key").unlink()
    (copied / "hpke.key").unlink()
    Keys.generate(Role.SILO).store(copied)
    with pytest.raises(IdentityError) as caught:
        Identity.load(copied)
    assert caught.value.code == "identity.other_key"


def test_another_members_name_is_refused(copied: Path) -> None:
    text = (copied / "consortium.json").read_text()
    (copied / "consortium.json").write_text(text.replace("st-marys", "st-johns"))
    with pytest.raises(IdentityError) as caught:
        Identity.load(copied)
    assert caught.value.code == "identity.other_member"


def test_a_foreign_ca_is_refused(copied: Path, foreign: Consortium) -> None:
    shutil.copy(foreign.root / "consortium" / "ca.pem", copied / "ca.pem")
    with pytest.raises(IdentityError) as caught:
        Identity.load(copied)
    assert caught.value.code == "identity.foreign"


@pytest.mark.parametrize("name", ["certificate.pem", "ca.pem"])
def test_a_missing_or_damaged_certificate_is_refused(copied: Path, name: str) -> None:
    (copied / name).write_text("nonsense")
    with pytest.raises(IdentityError, match="is not a certificate"):
        Identity.load(copied)
    (copied / name).unlink()
    with pytest.raises(IdentityError, match="run 'enrol' again"):
        Identity.load(copied)


def test_a_state_that_is_not_enrolled_says_what_to_do(folder: Path) -> None:
    with pytest.raises(IdentityError, match="run 'init'") as caught:
        Identity.load(folder)
    assert caught.value.code == "identity.not_enrolled"


def test_dates_are_checked(silo: Identity) -> None:
    silo.check_dates()
    with pytest.raises(IdentityError, match="renew") as caught:
        silo.check_dates(datetime.now(UTC) + timedelta(days=366))
    assert caught.value.code == "identity.expired"
    with pytest.raises(IdentityError, match="clock") as caught:
        silo.check_dates(datetime.now(UTC) - timedelta(days=1))
    assert caught.value.code == "identity.not_yet_valid"


def test_no_secret_is_shown(silo: Identity) -> None:
    assert silo.keys.hpke is not None
    shown = repr(silo) + repr(silo.keys)
    assert "PRIVATE" not in shown
    assert silo.keys.hpke.seed.hex() not in shown
    assert not [field.name for field in fields(Keys) if field.repr]


def test_what_is_sealed_to_the_hpke_key_opens() -> None:
    key = HpkeKey(os.urandom(96))
    assert len(key.public) == 1216
    public = MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(key.public[:1184]), X25519PublicKey.from_public_bytes(key.public[1184:])
    )
    suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    assert suite.decrypt(suite.encrypt(b"key", public), HpkeKey(key.seed).private) == b"key"


def test_keys_are_made_whole_or_not_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", break_off)
    with pytest.raises(StorageError, match="No space left"):
        create_folder(folder / "identity", Keys.generate(Role.SILO), b"{}")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("reached", power.EXTREMES.values(), ids=power.EXTREMES)
def test_keys_are_whole_or_not_there_after_a_power_cut_at_any_instant(folder: Path, reached: power.Reached) -> None:
    keys = Keys.generate(Role.SILO)

    def play(at: int) -> int:
        root, survived, made = folder / f"{at}", folder / f"{at}-survived", False
        root.mkdir()
        with power.cut(root, survived, at, reached) as disk:
            create_folder(root / "state" / "identity", keys, b"{}")
            made = True
        if made or (survived / "state" / "identity").exists():
            assert Keys.load(survived / "state" / "identity").public_identity == keys.public_identity
            assert (survived / "state" / "identity" / "request.json").read_bytes() == b"{}"
        return disk.syncs

    assert power.at_every_instant(play) > 5


def test_keys_whose_name_the_disk_refuses_to_keep_are_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        if (folder / "identity").exists():
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match="No space left"):
        create_folder(folder / "identity", Keys.generate(Role.SILO), b"{}")
    assert list(folder.iterdir()) == []


def test_a_new_state_directory_is_its_owners_alone(folder: Path) -> None:
    create_folder(folder / "state" / "identity", Keys.generate(Role.SILO), b"{}")
    for path in (folder / "state", folder / "state" / "identity"):
        assert path.stat().st_mode & 0o777 == 0o700


def test_keys_are_never_replaced(folder: Path) -> None:
    keys = Keys.generate(Role.SILO)
    create_folder(folder / "identity", keys, b"{}")
    with pytest.raises(IdentityError) as caught:
        create_folder(folder / "identity", Keys.generate(Role.SILO), b"{}")
    assert caught.value.code == "identity.exists"
    assert Keys.load(folder / "identity").public_identity == keys.public_identity

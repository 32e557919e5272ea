"""The consortium's directory, and whom its authority admits or refuses: one party a name and a token."""

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.consortium.authority import Authority
from privacy.channel import certificate as profile
from privacy.channel.admission import make_request
from privacy.channel.identity import Keys
from privacy.channel.member import Role
from privacy.errors import ConfigError, IdentityError, StorageError
from tests import power
from tests.consortium import Consortium

NOW = datetime.now(UTC)


def test_private_keys_are_their_owners_alone(consortium: Consortium) -> None:
    directory = consortium.root / "consortium"
    assert directory.stat().st_mode & 0o077 == 0
    for name in ("ca.key", "study.key"):
        assert (directory / name).stat().st_mode & 0o777 == 0o600


def test_an_exposed_key_is_refused(consortium: Consortium) -> None:
    (consortium.root / "consortium" / "study.key").chmod(0o640)
    with pytest.raises(IdentityError) as caught:
        Authority.open(consortium.root / "consortium")
    assert caught.value.code == "identity.exposed_key"


def test_a_directory_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    real = os.fsync

    def fill_up(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.raises(StorageError):
        Authority.create(tmp_path / "consortium", "chest-net", NOW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("reached", power.EXTREMES.values(), ids=power.EXTREMES)
def test_a_directory_is_whole_or_not_there_after_a_power_cut_at_any_instant(
    tmp_path: Path, reached: power.Reached
) -> None:
    def play(at: int) -> int:
        root, survived, made = tmp_path / f"{at}", tmp_path / f"{at}-survived", False
        root.mkdir()
        with power.cut(root, survived, at, reached) as disk:
            Authority.create(root / "all" / "consortium", "chest-net", NOW)
            made = True
        if made or (survived / "all" / "consortium").exists():
            Authority.open(survived / "all" / "consortium")
            assert (survived / "all" / "consortium" / "tokens").is_dir()
        return disk.syncs

    assert power.at_every_instant(play) > 5


def test_a_directory_whose_name_the_disk_refuses_to_keep_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        if (tmp_path / "consortium").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError):
        Authority.create(tmp_path / "consortium", "chest-net", NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(ConfigError) as caught:
        Authority.create(tmp_path, "chest-net", NOW)
    assert caught.value.code == "config.not_empty"
    with pytest.raises(ConfigError):
        Authority.create(tmp_path / "precious", "chest-net", NOW)


@pytest.mark.parametrize("name", ["", "Chest", "chest net", "../x"])
def test_a_name_is_plain(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        Authority.create(tmp_path / "consortium", name, NOW)
    assert not (tmp_path / "consortium").exists()


def test_the_same_request_again_gets_the_same_answer(consortium: Consortium) -> None:
    request = consortium.request(Role.SILO, "st-marys")
    first = consortium.authority.admit(request, NOW)
    assert Authority.open(consortium.root / "consortium").admit(request, NOW + timedelta(days=90)) == first


def test_a_token_admits_once(consortium: Consortium) -> None:
    token_file = consortium.token_file(Role.SILO, "st-marys")
    token = token_file.read_text().strip()
    member = consortium.member(Role.SILO, "st-marys")
    first, second = (make_request(member, (), Keys.generate(Role.SILO), token) for _ in range(2))
    consortium.authority.admit(first, NOW)
    with pytest.raises(IdentityError) as caught:
        consortium.authority.admit(second, NOW)
    assert caught.value.code == "identity.name_taken"
    assert list((consortium.root / "consortium" / "tokens").iterdir()) == []


def test_a_crash_between_register_and_token_admits_nobody_else(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = consortium.token_file(Role.SILO, "st-marys").read_text().strip()
    member = consortium.member(Role.SILO, "st-marys")
    first, second = (make_request(member, (), Keys.generate(Role.SILO), token) for _ in range(2))
    monkeypatch.setattr(
        type(consortium.authority.register), "forget_token", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        consortium.authority.admit(first, NOW)
    monkeypatch.undo()
    with pytest.raises(IdentityError):
        consortium.authority.admit(second, NOW)
    consortium.authority.admit(first, NOW)


def test_a_request_without_an_invitation_is_refused(consortium: Consortium) -> None:
    member = consortium.member(Role.SILO, "stranger")
    request = make_request(member, (), Keys.generate(Role.SILO), "t" * 43)
    with pytest.raises(IdentityError) as caught:
        consortium.authority.admit(request, NOW)
    assert caught.value.code == "identity.no_token"


def test_an_expired_token_admits_nobody(consortium: Consortium) -> None:
    request = consortium.request(Role.SILO, "st-marys")
    with pytest.raises(IdentityError, match="expired") as caught:
        consortium.authority.admit(request, NOW + timedelta(hours=2))
    assert caught.value.code == "identity.token_expired"
    assert consortium.authority.register.find(request.member) is None


@pytest.mark.parametrize(("role", "name"), [(Role.SILO, "st-johns"), (Role.AGGREGATOR, "st-marys")])
def test_a_token_is_for_one_role_and_name(consortium: Consortium, role: Role, name: str) -> None:
    token = consortium.token_file(Role.SILO, "st-marys").read_text().strip()
    consortium.token_file(role, name)
    hosts = ("localhost",) if role is Role.AGGREGATOR else ()
    request = make_request(consortium.member(role, name), hosts, Keys.generate(role), token)
    with pytest.raises(IdentityError) as caught:
        consortium.authority.admit(request, NOW)
    assert caught.value.code == "identity.bad_token"


def test_a_wrong_proof_uses_no_token_up(consortium: Consortium) -> None:
    request = consortium.request(Role.SILO, "st-marys")
    wrong = request.model_copy(update={"proof": "0" * 64})
    with pytest.raises(IdentityError, match=request.fingerprint):
        consortium.authority.admit(wrong, NOW)
    consortium.authority.admit(request, NOW)


def test_a_request_for_another_consortium_is_refused(consortium: Consortium, tmp_path: Path) -> None:
    other = Consortium(tmp_path / "other", name="other-net")
    with pytest.raises(IdentityError, match="other-net") as caught:
        consortium.authority.admit(other.request(Role.SILO, "st-marys"), NOW)
    assert caught.value.code == "identity.foreign"


def test_an_identity_key_is_one_members(consortium: Consortium) -> None:
    keys = Keys.generate(Role.SILO)
    for name, refused in (("st-marys", False), ("st-johns", True)):
        token = consortium.token_file(Role.SILO, name).read_text().strip()
        request = make_request(consortium.member(Role.SILO, name), (), keys, token)
        if not refused:
            consortium.authority.admit(request, NOW)
            continue
        with pytest.raises(IdentityError) as caught:
            consortium.authority.admit(request, NOW)
        assert caught.value.code == "identity.key_taken"


def test_a_new_token_replaces_the_old_one(consortium: Consortium) -> None:
    request = consortium.request(Role.SILO, "st-marys")
    consortium.token_file(Role.SILO, "st-marys")
    with pytest.raises(IdentityError):
        consortium.authority.admit(request, NOW)


def test_an_admitted_name_is_not_invited_again(consortium: Consortium) -> None:
    consortium.silo("st-marys")
    with pytest.raises(IdentityError, match="renew"):
        consortium.token_file(Role.SILO, "st-marys")


def test_a_renewal_keeps_the_keys(consortium: Consortium) -> None:
    identity = consortium.silo("st-marys", now=NOW - timedelta(days=300))
    renewed = profile.parse(consortium.authority.renew(identity.member, NOW).certificate.encode(), "it")
    assert renewed.public_key() == identity.certificate.public_key()
    assert renewed.not_valid_after_utc > identity.certificate.not_valid_after_utc
    assert renewed.serial_number != identity.certificate.serial_number
    with pytest.raises(IdentityError) as caught:
        consortium.authority.renew(consortium.member(Role.SILO, "nobody"), NOW)
    assert caught.value.code == "identity.unknown_member"


def test_tokens_are_their_owners_alone(consortium: Consortium) -> None:
    consortium.token_file(Role.SILO, "st-marys")
    (path,) = (consortium.root / "consortium" / "tokens").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_directory_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run 'init'"):
        Authority.open(tmp_path)

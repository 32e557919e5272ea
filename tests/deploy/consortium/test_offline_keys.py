"""The authority's keys under a passphrase, and in a token: everything it signs, and everything that is refused."""

import json
import sys
from pathlib import Path

import pytest

from deploy.consortium.app import app
from deploy.consortium.authority import Authority
from privacy import durable
from privacy.channel import enrolment, roster_statement
from privacy.channel.identity import Identity
from privacy.channel.key_file import reference_in
from privacy.channel.member import Member, Role
from privacy.channel.passphrase import SHORTEST
from privacy.errors import ConfigError, IdentityError
from privacy.study import load_signed
from tests.deploy.consortium.test_app import ROOT, enrolled, run
from tests.deploy.consortium.test_signing import draft
from tests.softhsm import SoftHsm, hsm
from tests.terminal import on_a_terminal

__all__ = ["hsm"]
WORDS = "correct horse battery staple"
KEYS = ("ca.key", "study.key")


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase.txt"
    durable.create(path, f"{WORDS}\n".encode())
    return path


def signs_everything(folder: Path) -> None:
    """Invite, admit, renew, revoke, state and sign a study."""
    directory = folder / "consortium"
    for name in ("st-marys", "st-johns", "st-pauls", "st-lukes"):
        enrolled(folder, "silo", name)
    hub = Identity.load(enrolled(folder, "aggregator", "hub", "localhost") / "identity")
    study = folder / "study.yaml"
    run(app, "study", "sign", draft(folder), "--dir", directory, "-o", study)
    assert load_signed(study, hub.study_key).consortium == "chest-net"
    renewed, statement = folder / "renewed.json", folder / "statement.json"
    run(app, "renew", "silo", "st-marys", "--dir", directory, "-o", renewed)
    assert enrolment.finish(folder / "st-marys", renewed).authority == hub.authority
    run(app, "revoke", "silo", "st-lukes", "--dir", directory, "--reason", "superseded", "-o", statement)
    run(app, "roster-statement", "--dir", directory, "-o", statement)
    assert roster_statement.open_signed(roster_statement.read(statement), "chest-net", hub.study_key).serial == 2


@pytest.mark.slow
def test_keys_under_a_passphrase_sign_everything(tmp_path: Path, words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "consortium"
    run(app, "init", directory, "--name", "chest-net", "--passphrase-file", words)
    for name in KEYS:
        assert (directory / name).read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        assert (directory / name).stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("COLLEGIUM_PASSPHRASE_FILE", str(words))
    signs_everything(tmp_path)


def test_a_passphrase_that_is_missing_wrong_short_or_exposed(tmp_path: Path, words: Path) -> None:
    directory, other = tmp_path / "consortium", tmp_path / "other.txt"
    with pytest.raises(ConfigError) as caught:
        run(app, "init", directory, "--name", "chest-net")
    assert caught.value.code == "config.no_passphrase"
    durable.create(other, b"a" * (SHORTEST - 1))
    with pytest.raises(ConfigError, match="fewer than 12"):
        run(app, "init", directory, "--name", "chest-net", "--passphrase-file", other)
    for more in (("--plain-keys",), ("--pkcs11", words)):
        with pytest.raises(ConfigError, match="exclude each other"):
            run(app, "init", directory, "--name", "chest-net", "--passphrase-file", words, *more)
    assert not directory.exists()
    run(app, "init", directory, "--name", "chest-net", "--passphrase-file", words)
    invite = ("token", "silo", "st-marys", "--dir", directory, "-o", tmp_path / "token")
    with pytest.raises(ConfigError) as caught:
        run(app, *invite)
    assert caught.value.code == "config.no_passphrase"
    with pytest.raises(IdentityError) as refused:
        run(app, *invite, "--passphrase-file", other)
    assert refused.value.code == "identity.passphrase"
    assert WORDS not in str(refused.value)
    durable.write(other, b"\xff")
    with pytest.raises(ConfigError):
        run(app, *invite, "--passphrase-file", other)
    words.chmod(0o644)
    with pytest.raises(IdentityError) as exposed:
        run(app, *invite, "--passphrase-file", words)
    assert exposed.value.code == "identity.exposed_key"
    assert not (tmp_path / "token").exists()


def test_a_key_under_a_passphrase_is_no_silos_key(tmp_path: Path, words: Path) -> None:
    """A silo starts without a person: an encrypted key that was put there by hand is refused, not asked about."""
    directory = tmp_path / "consortium"
    run(app, "init", directory, "--name", "chest-net", "--passphrase-file", words)
    with pytest.raises(IdentityError) as caught:
        Authority.open(directory)
    assert caught.value.code == "identity.passphrase"


@pytest.mark.slow
def test_on_a_terminal_the_passphrase_is_asked_for_and_not_shown(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "deploy.consortium.app"]
    init = [*program, "init", str(tmp_path / "consortium"), "--name", "chest-net", "--json"]
    _, said = on_a_terminal(init, (WORDS, WORDS), ROOT)
    assert WORDS not in said
    assert json.loads(said.splitlines()[-1])["consortium"] == "chest-net"
    Authority.open(tmp_path / "consortium", lambda: WORDS)
    token = [*program, "token", "silo", "st-marys", "--dir", str(tmp_path / "consortium")]
    assert len(on_a_terminal(token, (WORDS,), ROOT)[1].split()[-1]) == 43
    assert "[identity.passphrase]" in on_a_terminal(token, ("something else",), ROOT)[1]


@pytest.mark.slow
def test_keys_in_a_token_sign_everything(tmp_path: Path, hsm: SoftHsm) -> None:
    directory = tmp_path / "consortium"
    run(app, "init", directory, "--name", "chest-net", "--pkcs11", hsm.file("chest-net"))
    assert hsm.labels() == ["chest-net-ca", "chest-net-study"]
    for name in KEYS:
        assert reference_in(directory / name) is not None
    signs_everything(tmp_path)


def test_what_is_wrong_with_the_token_is_said_and_nothing_is_signed(tmp_path: Path, hsm: SoftHsm) -> None:
    directory, description = tmp_path / "consortium", hsm.file("chest-net")
    hsm.pin_file.write_text("141421")
    with pytest.raises(IdentityError) as caught:
        run(app, "init", directory, "--name", "chest-net", "--pkcs11", description)
    assert caught.value.code == "token.wrong_pin"
    hsm.pin_file.write_text("271828")
    run(app, "init", directory, "--name", "chest-net", "--pkcs11", description)
    with pytest.raises(IdentityError) as caught:
        run(app, "init", tmp_path / "second", "--name", "chest-net", "--pkcs11", description)
    assert caught.value.code == "token.label_used"
    authority = Authority.open(directory)
    token = tmp_path / "token"
    run(app, "token", "silo", "st-marys", "--dir", directory, "-o", token)
    request = tmp_path / "request.json"
    enrolment.begin(tmp_path / "st-marys", Member("chest-net", Role.SILO, "st-marys"), (), token, request)
    hsm.unplug()
    for arguments in (("admit", request), ("roster-statement",)):
        with pytest.raises(IdentityError) as caught:
            run(app, *arguments, "--dir", directory, "-o", tmp_path / "out")
        assert caught.value.code == "token.unavailable"
    hsm.plug_in()
    assert not (tmp_path / "out").exists()
    run(app, "admit", request, "--dir", directory, "-o", tmp_path / "out")
    assert enrolment.finish(tmp_path / "st-marys", tmp_path / "out").authority == authority.certificate
    run(app, "roster-statement", "--dir", directory, "-o", tmp_path / "out")
    signed = roster_statement.read(tmp_path / "out")
    assert roster_statement.open_signed(signed, "chest-net", authority.public_study_key).serial == 1


def test_nothing_is_left_in_the_token_when_init_fails(tmp_path: Path, hsm: SoftHsm) -> None:
    directory = tmp_path / "consortium"
    directory.mkdir()
    (directory / "something").touch()
    with pytest.raises(ConfigError):
        run(app, "init", directory, "--name", "chest-net", "--pkcs11", hsm.file())
    assert hsm.labels() == []


def test_another_key_than_that_of_the_certificate_is_refused(tmp_path: Path, hsm: SoftHsm) -> None:
    for name in ("first", "second"):
        run(app, "init", tmp_path / name, "--name", "chest-net", "--pkcs11", hsm.file(name))
    (tmp_path / "first" / "ca.key").write_bytes((tmp_path / "second" / "ca.key").read_bytes())
    with pytest.raises(IdentityError) as caught:
        Authority.open(tmp_path / "first")
    assert caught.value.code == "identity.other_key"

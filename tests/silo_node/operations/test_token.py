"""A hospital whose keys are in a token: what doctor says of it, that the ledger is signed by it, and its end."""

from pathlib import Path

import pytest

from privacy.channel import renewal
from privacy.errors import IdentityError
from privacy.ledger.reader import read
from privacy.token.description import KeyReference
from privacy.token.session import Token
from silo_node.operations import decommission as ending
from tests.silo_node.operations.site import Site
from tests.silo_node.operations.test_doctor import row
from tests.softhsm import SoftHsm

WHY = ("--reason", "a vote", "--by", "Ada Roe")


@pytest.fixture
def site(tmp_path: Path, hsm: SoftHsm) -> Site:
    return Site.make(tmp_path, hsm.description("north"))


def test_doctor_says_what_is_wrong_with_the_token(site: Site, hsm: SoftHsm) -> None:
    assert row(site, "token")["found"] == "the keys in 'collegium' sign and cannot be taken out"
    hsm.token("north").forget()
    hsm.pin_file.chmod(0o644)
    assert row(site, "token")["code"] == "token.pin_file"
    hsm.pin_file.chmod(0o600)
    hsm.unplug()
    found = row(site, "token")
    assert (found["state"], found["code"]) == ("failed", "token.unavailable")
    assert row(site, "name")["state"] == "ok"
    hsm.plug_in()
    renewal.asked(site.directory.identity_folder, site.directory.identity())
    (site.directory.identity_folder / "retired-00.key").write_bytes(
        (site.directory.identity_folder / "next" / "tls.key").read_bytes()
    )
    assert row(site, "token")["state"] == "warning"


def test_the_ledger_is_signed_in_the_token(site: Site, hsm: SoftHsm) -> None:
    before = len(site.entries)
    hsm.unplug()
    ended = site.run("revoke-approval", site.study.name, *WHY)
    assert isinstance(ended.exception, IdentityError)
    assert ended.exception.code == "token.unavailable"
    assert len(site.entries) == before
    hsm.plug_in()
    assert site.run("revoke-approval", site.study.name, *WHY).exit_code == 0
    assert site.run("ledger", "fsck").exit_code == 0
    assert len(site.entries) > before


def test_decommission_destroys_the_keys_in_the_token(site: Site, hsm: SoftHsm) -> None:
    renewal.asked(site.directory.identity_folder, site.directory.identity())
    assert len(hsm.labels()) == 3
    hsm.unplug()
    assert isinstance(site.run("decommission", "--yes", *WHY).exception, IdentityError)
    assert len(ending.found(site.directory)) >= 4
    hsm.plug_in()
    ended = site.run("decommission", "--yes", *WHY)
    assert ended.exit_code == 0, ended.output
    assert "token 'collegium' is destroyed there" in ended.output
    assert hsm.labels() == []
    assert ending.found(site.directory) == ()
    assert read(site.state / "ledger").entries[-1].kind == "decommissioned"
    assert site.run("ledger", "fsck").exit_code == 0


@pytest.mark.parametrize("signature", [1, 2], ids=["entry", "head"])
def test_a_ledger_whose_token_goes_at_a_signature_is_as_it_was(
    site: Site, hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch, signature: int
) -> None:
    """Both signatures of an entry come before its first byte: the ledger stays open, and whole."""
    sign, asked = Token.sign, []

    def counted(token: Token, reference: KeyReference, data: bytes) -> bytes:
        asked.append(reference)
        if len(asked) == signature:
            hsm.unplug()
        return sign(token, reference, data)

    with site.directory.open_ledger(site.directory.identity()) as ledger:
        before = ledger.head()
        monkeypatch.setattr(Token, "sign", counted)
        for _ in range(2):
            with pytest.raises(IdentityError) as caught:
                ledger.append("incident", {"code": "test", "detail": "never written"})
            assert caught.value.code == "token.unavailable"
        assert ledger.head() == before
        hsm.plug_in()
        ledger.append("incident", {"code": "test", "detail": "written"})
    assert site.run("ledger", "fsck").exit_code == 0
    assert [entry.body["detail"] for entry in site.entries if entry.kind == "incident"] == ["written"]

"""A silo whose identity and TLS keys are in a token: from `init` to calls over TLS, renewal and what may go wrong."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from privacy import durable
from privacy.channel import enrolment, envelope, renewal, tls
from privacy.channel.admission import check_request
from privacy.channel.diagnosis import diagnose
from privacy.channel.identity import HPKE_FILE, IDENTITY_FILE, NEXT_FOLDER, TLS_FILE, Identity, Keys, retired
from privacy.channel.key_file import reference_in
from privacy.channel.member import Role
from privacy.errors import ConfigError, IdentityError, StorageError
from privacy.token.keys import TokenCertificateKey, TokenSigner
from tests.consortium import Consortium
from tests.privacy.channel.serving import serving
from tests.softhsm import SoftHsm


def enrolled(consortium: Consortium, hsm: SoftHsm, name: str, now: datetime | None = None) -> Identity:
    consortium.tokens[name] = hsm.description(name)
    return consortium.silo(name, now)


def call(identity: Identity, port: int) -> bytes:
    with tls.channel(identity, f"localhost:{port}") as channel:
        answer = channel.unary_unary("/t.Echo/Unary", bytes, bytes)(b"", timeout=10, wait_for_ready=False)
    return bytes(answer)


def test_a_silo_with_its_keys_in_a_token(consortium: Consortium, hub: Identity, hsm: SoftHsm) -> None:
    identity = enrolled(consortium, hsm, "token-silo")
    folder = consortium.state("token-silo") / "identity"
    assert hsm.labels() == ["token-silo-identity", "token-silo-tls"]
    assert isinstance(identity.keys.identity, TokenSigner)
    for name in (IDENTITY_FILE, TLS_FILE):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
        assert b"PRIVATE" not in (folder / name).read_bytes()
        assert reference_in(folder / name) is not None
    assert reference_in(folder.parent.parent / "consortium" / "study.key") is None
    loaded = Identity.load(folder)
    assert loaded.fingerprint == identity.fingerprint

    message = envelope.sign("head", b"body", "token-silo", loaded.keys.identity)
    assert envelope.verify(message, identity.keys.public_identity, "head") == b"body"
    with serving(hub) as (port, echo):
        assert call(loaded, port) == identity.member.uri.encode()
        hsm.unplug()
        with pytest.raises(grpc.RpcError):
            call(loaded, port)
        assert echo.calls == 1
        said = diagnose(loaded, f"localhost:{port}")
        assert isinstance(said, IdentityError)
        assert said.code == "token.unavailable"
        hsm.plug_in()
        assert call(loaded, port) == identity.member.uri.encode()


def test_the_token_is_asked_for_signatures_alone(consortium: Consortium, hsm: SoftHsm) -> None:
    """Who only looks at a silo, such as `status`, needs no token."""
    enrolled(consortium, hsm, "quiet-silo")
    hsm.token("quiet-silo").forget()
    hsm.unplug()
    identity = Identity.load(consortium.state("quiet-silo") / "identity")
    assert identity.member.name == "quiet-silo"
    with pytest.raises(IdentityError, match="plug it in"):
        identity.keys.identity.sign(b"anything")


def test_renewal_makes_a_new_key_in_the_token_and_destroys_the_old(consortium: Consortium, hsm: SoftHsm) -> None:
    before = enrolled(consortium, hsm, "renewing-silo", datetime.now(UTC) - timedelta(days=300))
    folder = consortium.state("renewing-silo") / "identity"
    request = renewal.asked(folder, before)
    assert renewal.asked(folder, before) == request
    assert check_request(request) != before.keys.tls.public_key()
    assert hsm.labels() == ["renewing-silo-identity", "renewing-silo-tls", "renewing-silo-tls"]
    answer = consortium.authority.renew(before.member, datetime.now(UTC), request).model_dump_json().encode()

    hsm.unplug()
    after = renewal.take(folder, before, answer)
    assert len(retired(folder)) == 1
    hsm.plug_in()
    assert isinstance(after.keys.tls, TokenCertificateKey)
    assert not (folder / NEXT_FOLDER).exists()
    assert reference_in(folder / TLS_FILE) == after.keys.tls.reference
    renewal.destroy_retired(folder)
    assert retired(folder) == ()
    assert hsm.labels() == ["renewing-silo-identity", "renewing-silo-tls"]
    assert isinstance(before.keys.tls, TokenCertificateKey)
    with pytest.raises(IdentityError, match="has no keys"):
        before.keys.tls.token.sign(before.keys.tls.reference, b"anything")
    assert Identity.load(folder).certificate == after.certificate


@pytest.mark.slow
@pytest.mark.parametrize("renamed", [1, 2, 3])
def test_a_renewal_that_is_killed_between_its_files(
    consortium: Consortium, hsm: SoftHsm, renamed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"killed-silo-{'abc'[renamed - 1]}"
    before = enrolled(consortium, hsm, name, datetime.now(UTC) - timedelta(days=300))
    folder = consortium.state(name) / "identity"
    request = renewal.asked(folder, before)
    answer = consortium.authority.renew(before.member, datetime.now(UTC), request).model_dump_json().encode()
    replace_file, done = Path.replace, []

    def killed(self: Path, target: Path) -> Path:
        if self.parent.name == NEXT_FOLDER:  # the certificate's own, then those of key, request and certificate
            if len(done) == renamed:
                raise KeyboardInterrupt
            done.append(self)
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        renewal.take(folder, before, answer)
    monkeypatch.undo()
    monkeypatch.setenv("SOFTHSM2_CONF", str(hsm.configuration))
    after = Identity.load(folder)
    assert after.certificate != before.certificate
    renewal.destroy_retired(folder)
    assert hsm.labels() == [f"{name}-identity", f"{name}-tls"]
    after.keys.identity.sign(b"head")


def test_nothing_is_left_in_the_token_when_init_fails(
    consortium: Consortium, hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(Keys, "store", full)
        with pytest.raises(StorageError):
            enrolled(consortium, hsm, "unlucky-silo")
    assert hsm.labels() == []
    enrolled(consortium, hsm, "unlucky-silo")
    member, token = consortium.member(Role.SILO, "unlucky-silo"), hsm.root / "token"
    token.write_text("a" * 43)
    with pytest.raises(IdentityError) as caught:
        state = consortium.state("unlucky-silo")
        enrolment.begin(state, member, (), token, hsm.root / "out", hsm.description("others"))
    assert caught.value.code == "identity.exists"
    assert len(hsm.labels()) == 2


def test_labels_of_another_silo_are_not_used_again(consortium: Consortium, hsm: SoftHsm) -> None:
    enrolled(consortium, hsm, "first-silo")
    member, token = consortium.member(Role.SILO, "other-silo"), consortium.token_file(Role.SILO, "other-silo")
    with pytest.raises(IdentityError) as caught:
        enrolment.begin(
            consortium.state("other-silo"), member, (), token, hsm.root / "out", hsm.description("first-silo")
        )
    assert caught.value.code == "token.label_used"


def test_a_moved_silo_keeps_its_keys_in_the_token(consortium: Consortium, foreign: Consortium, hsm: SoftHsm) -> None:
    before = enrolled(consortium, hsm, "moving-silo")
    # Consortia of tests bear one name; a second one is told apart by it.
    member = replace(before.member, consortium="other-net")
    token = foreign.token_file(Role.SILO, "moving-silo")
    state = consortium.state("moving-silo")
    with pytest.raises(ConfigError, match="leave --pkcs11 out"):
        enrolment.begin(state, member, (), token, hsm.root / "out", hsm.description("again"))
    request = enrolment.begin(state, member, (), token, hsm.root / "out")
    assert request.identity_key == before.keys.public_identity.hex()


def test_an_aggregator_cannot_serve_with_a_key_in_a_token(hub: Identity, hsm: SoftHsm) -> None:
    keys = Keys.generate(Role.AGGREGATOR, hsm.token("hub"))
    object.__setattr__(other := replace(hub), "keys", keys)
    with pytest.raises(ConfigError, match="in files alone"):
        tls.server_credentials(other)


def test_damaged_references_and_descriptions(consortium: Consortium, hsm: SoftHsm) -> None:
    enrolled(consortium, hsm, "damaged-silo")
    folder = consortium.state("damaged-silo") / "identity"
    good = (folder / IDENTITY_FILE).read_bytes()
    for bad in (
        b"",
        b"\x00\xff",
        b"{}",
        good.replace(b"ed25519", b"rsa"),
        good[:-40],
        (folder / HPKE_FILE).read_bytes(),
    ):
        durable.write(folder / IDENTITY_FILE, bad)
        with pytest.raises(IdentityError) as caught:
            Identity.load(folder)
        assert caught.value.code == "identity.damaged_key"
    durable.write(folder / IDENTITY_FILE, (folder / TLS_FILE).read_bytes())
    with pytest.raises(IdentityError, match="another kind"):
        Identity.load(folder)
    durable.write(folder / IDENTITY_FILE, good)
    (folder / "pkcs11.yaml").write_text("format: collegium-pkcs11/1\nmodule: libsofthsm2.so\n")
    with pytest.raises(ConfigError, match="path from the root"):
        Identity.load(folder)
    (folder / "pkcs11.yaml").unlink()
    with pytest.raises(ConfigError):
        Identity.load(folder)

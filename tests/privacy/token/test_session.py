"""Keys in a real token (SoftHSM2): they sign, they cannot be taken out, and whatever is wrong is said."""

import os
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.errors import CollegiumError, ConfigError, IdentityError
from privacy.token import refusals, session
from privacy.token.description import KeyReference
from privacy.token.keys import TokenCertificateKey, TokenSigner
from privacy.token.session import Token, token_of
from tests.softhsm import PIN, SoftHsm

SHA256 = ec.ECDSA(hashes.SHA256())


def refused(code: str, token: Token, reference: KeyReference) -> str:
    with pytest.raises(IdentityError) as caught:
        token.sign(reference, b"anything")
    assert caught.value.code == code
    return str(caught.value)


def test_keys_are_made_sign_and_are_destroyed(hsm: SoftHsm) -> None:
    token = hsm.token()
    signer, certifier = TokenSigner.generate(token, "identity"), TokenCertificateKey.generate(token, "tls")
    assert hsm.labels() == ["st-marys-identity", "st-marys-tls"]
    signer.public_key().verify(signer.sign(b"head"), b"head")
    certifier.public_key().verify(certifier.sign(b"hello", SHA256), b"hello", SHA256)
    assert (certifier.key_size, certifier.curve.name) == (256, "secp256r1")
    for export in (certifier.private_numbers, certifier.private_bytes, certifier.exchange):
        with pytest.raises(RuntimeError):
            export()
    with pytest.raises(RuntimeError, match="SHA-256 alone"):
        certifier.sign(b"hello", ec.ECDSA(hashes.SHA384()))
    signer.destroy()
    signer.destroy()
    assert hsm.labels() == ["st-marys-tls"]
    refused("token.no_key", token, signer.reference)


def test_a_key_made_here_cannot_be_taken_out(hsm: SoftHsm) -> None:
    import pkcs11
    from pkcs11 import Attribute, ObjectClass

    token = hsm.token()
    TokenSigner.generate(token, "identity")
    key = token._do(lambda session: next(iter(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))))
    with pytest.raises(pkcs11.AttributeSensitive):
        key[Attribute.VALUE]
    assert not key[Attribute.EXTRACTABLE]
    assert key[Attribute.SENSITIVE]


def test_a_token_that_is_pulled_out_is_an_error_until_it_is_back(hsm: SoftHsm) -> None:
    signer = TokenSigner.generate(hsm.token(), "identity")
    hsm.unplug()
    for _ in range(2):
        said = refused("token.unavailable", signer.token, signer.reference)
        assert "plug it in" in said
    hsm.plug_in()
    signer.public_key().verify(signer.sign(b"again"), b"again")


def test_a_short_interruption_is_not_noticed(hsm: SoftHsm) -> None:
    signer = TokenSigner.generate(hsm.token(), "identity")
    hsm.unplug()
    assert signer.token._session is not None
    hsm.plug_in()
    signer.token._session.close()
    signer.public_key().verify(signer.sign(b"again"), b"again")


def test_pins(hsm: SoftHsm) -> None:
    signer = TokenSigner.generate(hsm.token(), "identity")
    token, reference = signer.token, signer.reference
    token.forget()
    hsm.pin_file.write_text("141421")
    assert "correct the PIN file" in refused("token.wrong_pin", token, reference)
    for _ in range(3):
        refused("token.wrong_pin", token, reference)
    hsm.pin_file.write_text("")
    refused("token.wrong_pin", token, reference)
    hsm.pin_file.write_bytes(b"\xff\xfe")
    refused("token.pin_file", token, reference)
    hsm.pin_file.chmod(0o640)
    assert "chmod 600" in refused("token.pin_file", token, reference)
    hsm.pin_file.unlink()
    refused("token.pin_file", token, reference)


def test_a_refused_pin_is_not_shown_to_the_token_again(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is dialled again and again would otherwise lock the token."""
    signer = TokenSigner.generate(hsm.token(), "identity")
    signer.token.forget()
    hsm.pin_file.write_text("141421")
    refused("token.wrong_pin", signer.token, signer.reference)
    asked: list[str] = []
    monkeypatch.setattr(refusals.imported(), "lib", lambda module: asked.append(module))
    for _ in range(3):
        refused("token.wrong_pin", signer.token, signer.reference)
    assert asked == []
    monkeypatch.undo()
    monkeypatch.setenv("SOFTHSM2_CONF", str(hsm.configuration))
    hsm.pin_file.write_text(PIN)
    signer.sign(b"again")


def test_a_pin_is_not_tried_when_it_could_be_the_last(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    import pkcs11

    signer = TokenSigner.generate(hsm.token(), "identity")
    signer.token.forget()
    monkeypatch.setattr(session, "_LAST_TRY", int(pkcs11.TokenFlag.TOKEN_INITIALIZED))
    refused("token.last_try", signer.token, signer.reference)


def test_the_flag_of_the_last_try_is_that_of_the_standard() -> None:
    pkcs11 = pytest.importorskip("pkcs11")

    assert int(pkcs11.TokenFlag.USER_PIN_FINAL_TRY) == session._LAST_TRY


def test_a_missing_token_and_a_missing_module(hsm: SoftHsm) -> None:
    reference = TokenSigner.generate(hsm.token(), "identity").reference
    assert "'another'" in refused("token.unavailable", token_of(hsm.description(token="another")), reference)
    nowhere = hsm.description().model_copy(update={"module": str(hsm.root / "vendor.so")})
    refused("token.unavailable", token_of(nowhere), reference)
    hsm.initialize("collegium")
    hsm.token().forget()
    refused("token.ambiguous", hsm.token(), reference)


def test_a_key_of_another_label_or_number_is_not_taken(hsm: SoftHsm) -> None:
    signer = TokenSigner.generate(hsm.token(), "identity")
    for change in ({"label": "st-johns-identity"}, {"id": "00" * 16}):
        refused("token.no_key", signer.token, signer.reference.model_copy(update=change))


def test_another_key_in_the_place_of_ours_is_found_out(hsm: SoftHsm) -> None:
    signer = TokenSigner.generate(hsm.token(), "identity")
    public = Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    refused("token.other_key", signer.token, signer.reference.model_copy(update={"public_key": public}))
    certifier = TokenCertificateKey.generate(hsm.token(), "tls")
    other = TokenCertificateKey.generate(hsm.token(), "tls").reference.public_key
    refused("token.other_key", certifier.token, certifier.reference.model_copy(update={"public_key": other}))


@pytest.mark.parametrize("extractable", [True, False], ids=["extractable", "was in a file"])
def test_a_key_that_was_outside_is_refused(hsm: SoftHsm, extractable: bool) -> None:
    from pkcs11 import Attribute, KeyType, ObjectClass
    from pkcs11.util.ec import encode_named_curve_parameters

    secret = ec.generate_private_key(ec.SECP256R1())
    token, made = hsm.token(), TokenCertificateKey.generate(hsm.token(), "tls")
    numbers = secret.private_numbers()
    point = b"\x04" + numbers.public_numbers.x.to_bytes(32) + numbers.public_numbers.y.to_bytes(32)
    reference = made.reference.model_copy(update={"id": "0a" * 16, "public_key": point.hex()})
    template = {
        Attribute.CLASS: ObjectClass.PRIVATE_KEY,
        Attribute.KEY_TYPE: KeyType.EC,
        Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1"),
        Attribute.VALUE: numbers.private_value.to_bytes(32),
        Attribute.TOKEN: True,
        Attribute.SENSITIVE: not extractable,
        Attribute.EXTRACTABLE: extractable,
        Attribute.SIGN: True,
        Attribute.LABEL: reference.label,
        Attribute.ID: bytes.fromhex(reference.id),
    }
    token._do(lambda session: session.create_object(template), writing=True)
    assert "made in the token by 'init'" in refused("token.extractable", token, reference)


def test_labels_that_are_used_are_refused(hsm: SoftHsm) -> None:
    hsm.token("st-marys").refuse_used_label()
    TokenSigner.generate(hsm.token("st-marys"), "identity")
    with pytest.raises(IdentityError) as caught:
        hsm.token("st-marys").refuse_used_label()
    assert caught.value.code == "token.label_used"
    hsm.token("st-johns").refuse_used_label()


def test_two_tokens_and_many_threads_of_one_process(hsm: SoftHsm) -> None:
    hsm.initialize("second")
    signers = [
        TokenSigner.generate(hsm.token(), "identity"),
        TokenSigner.generate(token_of(hsm.description(token="second")), "identity"),
    ]
    wrong: list[BaseException] = []

    def work(signer: TokenSigner) -> None:
        try:
            for number in range(10):
                signer.sign(b"%d" % number)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(signers[number % 2],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_forked_child_signs_in_a_session_of_its_own(hsm: SoftHsm) -> None:
    signer = TokenSigner.generate(hsm.token(), "identity")
    child = os.fork()
    if child == 0:
        try:
            signer.sign(b"in the child")
        except CollegiumError:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    signer.sign(b"in the parent")


def test_without_the_package_it_says_what_to_install(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = TokenSigner.generate(hsm.token(), "identity")
    monkeypatch.setitem(__import__("sys").modules, "pkcs11", None)
    with pytest.raises(ConfigError) as caught:
        signer.sign(b"anything")
    assert caught.value.code == "token.not_installed"
    assert "collegium[pkcs11]" in str(caught.value)


def test_a_reference_of_another_kind_of_key(hsm: SoftHsm, tmp_path: Path) -> None:
    token = hsm.token()
    signer, certifier = TokenSigner.generate(token, "identity"), TokenCertificateKey.generate(token, "tls")
    with pytest.raises(IdentityError):
        TokenSigner(token, certifier.reference)
    with pytest.raises(IdentityError):
        TokenCertificateKey(token, signer.reference)

from base64 import encodebytes
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from privacy.channel import envelope
from privacy.channel.admission import (
    REQUEST_KIND,
    Request,
    alternative_names,
    check_proof,
    check_request,
    make_request,
    subject,
)
from privacy.channel.identity import Keys
from privacy.channel.member import Member, Role
from privacy.errors import ConfigError, IdentityError

TOKEN = "t" * 43
SILO = Member("chest-net", Role.SILO, "st-marys")
HUB = Member("chest-net", Role.AGGREGATOR, "hub")
KEYS = Keys.generate(Role.SILO)
REQUEST = make_request(SILO, (), KEYS, TOKEN)


def signed_again(request: Request) -> Request:
    signed = envelope.sign(REQUEST_KIND, request.body(), request.name, KEYS.identity)
    return request.model_copy(update={"signature": signed.signature.hex()})


def csr(member: Member, key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey, *, names: bool = True) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject(member))
    if names:
        builder = builder.add_extension(alternative_names(member, ()), critical=False)
    algorithm = None if isinstance(key, Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM).decode()


def test_a_request_survives_its_file_and_its_checks() -> None:
    again = Request.model_validate_json(REQUEST.model_dump_json())
    assert again == REQUEST
    assert check_request(again) == KEYS.tls.public_key()
    check_proof(again, TOKEN)


def test_an_aggregator_names_its_hosts() -> None:
    request = make_request(HUB, ("agg.example.org", "10.0.0.1", "::1"), Keys.generate(Role.AGGREGATOR), TOKEN)
    check_request(request)
    assert request.hpke_key is None


@pytest.mark.parametrize(
    ("member", "hosts"),
    [(SILO, ("agg.example.org",)), (HUB, ()), (HUB, ("*.example.org",)), (HUB, ("Agg.example.org",)), (HUB, ("a b",))],
)
def test_hosts_fit_the_role_and_are_plain(member: Member, hosts: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="host"):
        make_request(member, hosts, Keys.generate(member.role), TOKEN)


@pytest.mark.parametrize("field", ["consortium", "name", "identity_key", "hpke_key", "csr", "signature"])
@given(where=st.integers(0), letter=st.sampled_from("abcdef"))
def test_an_altered_request_is_refused(field: str, where: int, letter: str) -> None:
    value = getattr(REQUEST, field)
    place = where % len(value)
    altered = value[:place] + letter + value[place + 1 :]
    if altered == value:
        return
    with pytest.raises(IdentityError):
        check_request(REQUEST.model_copy(update={field: altered}))


@given(token=st.from_regex(r"[A-Za-z0-9_-]{43}", fullmatch=True))
def test_only_the_token_proves(token: str) -> None:
    if token == TOKEN:
        return
    with pytest.raises(IdentityError) as caught:
        check_proof(REQUEST, token)
    assert caught.value.code == "identity.bad_token"


def test_a_proof_holds_for_one_request_alone() -> None:
    stolen = make_request(SILO, (), Keys.generate(Role.SILO), "x" * 43).model_copy(update={"proof": REQUEST.proof})
    with pytest.raises(IdentityError):
        check_proof(stolen, TOKEN)


@pytest.mark.parametrize(
    "certificate_request",
    [
        csr(replace(SILO, name="st-johns"), KEYS.tls),
        csr(SILO, KEYS.tls, names=False),
        csr(SILO, ec.generate_private_key(ec.SECP384R1())),
        csr(SILO, Ed25519PrivateKey.generate()),
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "",
    ],
    ids=["other name", "no name", "other curve", "ed25519", "garbage", "empty"],
)
def test_a_certificate_request_that_does_not_fit_is_refused(certificate_request: str) -> None:
    with pytest.raises(IdentityError) as caught:
        check_request(signed_again(REQUEST.model_copy(update={"csr": certificate_request})))
    assert caught.value.code == "identity.bad_csr"


def test_a_certificate_request_signed_by_another_key_is_refused() -> None:
    good = x509.load_pem_x509_csr(REQUEST.csr.encode())
    other = x509.load_pem_x509_csr(csr(SILO, ec.generate_private_key(ec.SECP256R1())).encode())
    raw = good.public_bytes(Encoding.DER).replace(
        KEYS.tls.public_key().public_numbers().x.to_bytes(32, "big"),
        other.public_key().public_numbers().x.to_bytes(32, "big"),  # type: ignore[union-attr]
    )
    forged = "-----BEGIN CERTIFICATE REQUEST-----\n" + encodebytes(raw).decode()
    forged += "-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(IdentityError):
        check_request(signed_again(REQUEST.model_copy(update={"csr": forged})))


def test_an_unknown_key_in_the_file_is_refused() -> None:
    with pytest.raises(ValidationError):
        Request.model_validate_json(REQUEST.model_dump_json()[:-1] + ',"admin":true}')

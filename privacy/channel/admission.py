"""The two files by which a party becomes a member: its request and the consortium's admission.

The request carries the public halves of keys made on site and a CSR, signed by the identity key (it
holds that key) and proven with the one-time token (the consortium invited it). The admission carries
the certificate and the consortium's two public keys; that these are really the consortium's is what
people compare by phone. Nothing here is secret but the token, and nothing here touches a disk.
"""

import hmac
import ipaddress
import re
from typing import Annotated, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pydantic import Field, field_validator, model_validator

from privacy.channel import envelope
from privacy.channel.certificate import UNREADABLE
from privacy.channel.identity import Keys
from privacy.channel.member import Member, Role
from privacy.configuration import Strict
from privacy.digest import Json, canonical_json
from privacy.errors import ConfigError, IdentityError
from privacy.learning import Name
from privacy.roster import Hex32, fingerprint

REQUEST_KIND = "enrolment-request"
PROOF_KIND = "enrolment-proof"
_DNS = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
Pem = Annotated[str, Field(max_length=20_000)]


class Request(Strict):
    """`request.json`: who asks, with which public keys, reachable under which `hosts` (aggregator only)."""

    format: Literal["collegium-request/1"] = "collegium-request/1"
    consortium: Name
    role: Role
    name: Name
    hosts: tuple[str, ...] = Field(default=(), max_length=8)
    csr: Pem
    identity_key: Hex32
    hpke_key: Annotated[str, Field(pattern=r"^[0-9a-f]{2432}$")] | None
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")] = "0" * 128
    proof: Hex32 = "0" * 64

    @field_validator("hosts")
    @classmethod
    def _plain_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            _general_name(host)
        return hosts

    @model_validator(mode="after")
    def _fits_role(self) -> "Request":
        if (self.role is Role.AGGREGATOR) != bool(self.hosts):
            raise ValueError("an aggregator names the hosts that silos dial; a silo names none")
        if (self.role is Role.SILO) != (self.hpke_key is not None):
            raise ValueError("a silo has an HPKE key; an aggregator has none")
        return self

    @property
    def member(self) -> Member:
        """Who asks."""
        return Member(self.consortium, self.role, self.name)

    @property
    def fingerprint(self) -> str:
        """The identity key's fingerprint, to compare by phone."""
        return fingerprint(bytes.fromhex(self.identity_key))

    def body(self) -> bytes:
        """The canonical bytes that are signed and proven: everything but signature and proof."""
        fields: dict[str, Json] = self.model_dump(mode="json", exclude={"signature", "proof"})
        return canonical_json(fields)


class Admission(Strict):
    """`admission.json`: the certificate, and the consortium that issued it."""

    format: Literal["collegium-admission/1"] = "collegium-admission/1"
    consortium: Name
    role: Role
    name: Name
    certificate: Pem
    ca_certificate: Pem
    study_key: Hex32


def make_request(member: Member, hosts: tuple[str, ...], keys: Keys, token: str | None) -> Request:
    """A signed request for `member`, proven with its token; one for a new certificate needs none.

    Raises:
        ConfigError: a host is not a plain DNS name or IP address, or does not fit the role.
    """
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject(member))
        .add_extension(alternative_names(member, hosts), critical=False)
        .sign(keys.tls, hashes.SHA256())
    )
    try:
        unsigned = Request(
            consortium=member.consortium,
            role=member.role,
            name=member.name,
            hosts=hosts,
            csr=csr.public_bytes(Encoding.PEM).decode(),
            identity_key=keys.public_identity.hex(),
            hpke_key=keys.hpke.public.hex() if keys.hpke else None,
        )
    except ValueError as error:
        raise ConfigError("an aggregator needs --host for every name that silos dial; a silo has none") from error
    signed = envelope.sign(REQUEST_KIND, unsigned.body(), member.name, keys.identity)
    proof = unsigned.proof if token is None else _proof(unsigned, token)
    return unsigned.model_copy(update={"signature": signed.signature.hex(), "proof": proof})


def check_request(request: Request) -> ec.EllipticCurvePublicKey:
    """Check everything a request says by itself, and return the TLS key to be certified.

    Raises:
        IdentityError: not signed by its identity key, or its CSR is not of these names, this curve and its own key.
    """
    signature = bytes.fromhex(request.signature)
    envelope.verify(
        envelope.Signed(REQUEST_KIND, request.body(), request.name, signature),
        bytes.fromhex(request.identity_key),
        REQUEST_KIND,
    )
    try:
        csr = x509.load_pem_x509_csr(request.csr.encode())
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        key = csr.public_key()
        valid = csr.is_signature_valid
    except (InvalidSignature, x509.ExtensionNotFound, *UNREADABLE) as error:
        raise IdentityError(
            "the request holds no usable certificate request; run 'init' again", code="identity.bad_csr"
        ) from error
    if not valid or not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError(
            "the certificate request is not signed by its own EC P-256 key; run 'init' again", code="identity.bad_csr"
        )
    if names != alternative_names(request.member, request.hosts):
        raise IdentityError(
            "the certificate request asks for other names than the request itself; run 'init' again",
            code="identity.bad_csr",
        )
    return key


def check_proof(request: Request, token: str) -> None:
    """Check that the sender of a request holds the token.

    Raises:
        IdentityError: it does not.
    """
    if not hmac.compare_digest(request.proof, _proof(request, token)):
        raise IdentityError(
            f"the request was not made with the token of {request.role} '{request.name}'; ask the sender to compare"
            f" the fingerprint {request.fingerprint}",
            code="identity.bad_token",
        )


def subject(member: Member) -> x509.Name:
    """The subject of a member's certificate, for people; nothing is decided by it."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, member.consortium),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{member.role} {member.name}"),
        ]
    )


def alternative_names(member: Member, hosts: tuple[str, ...]) -> x509.SubjectAlternativeName:
    """The SPIFFE id, then the hosts.

    Raises:
        ConfigError: a host is neither a plain DNS name nor an IP address.
    """
    try:
        return x509.SubjectAlternativeName(
            [x509.UniformResourceIdentifier(member.uri), *(_general_name(host) for host in hosts)]
        )
    except ValueError as error:
        raise ConfigError(f"{error}; correct --host") from error


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not _DNS.fullmatch(host):
            raise ValueError("a host is a lower-case DNS name without wildcard, or an IP address") from None
        return x509.DNSName(host)


def _proof(request: Request, token: str) -> str:
    return hmac.digest(token.encode("ascii"), envelope.context(PROOF_KIND) + request.body(), "sha256").hex()
